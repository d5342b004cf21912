//! `moorline audit sbom`: the bill of materials of a job's image, as somebody attached it in the registry.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::context::{Context, engines};
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome};
use crate::failure::{Kind, io_kind};
use crate::files;
use crate::pin::Pin;
use crate::resolve::sbom::{Looked, Sbom as Found, sbom};

/// `audit sbom`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  moorline audit sbom last
  moorline audit sbom -o sbom.cdx.json 01jd5k")]
pub struct Sbom {
    #[arg(value_name = "JOB", help = engines::one_job())]
    job: String,
    /// Write this file instead of standard output
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The verb.
///
/// # Errors
/// When the job is unknown or its image came from no registry; 3 when nobody attached one in CycloneDX.
pub fn run(context: &Context, args: &Sbom) -> Outcome {
    let view = context.named(&[&args.job])?;
    let job = view.find(&args.job)?;
    let pin: Option<Pin> = job.last().image.pin().cloned();
    let Some(pin) = pin else {
        return Err(CliError::new(
            Kind::NotFound,
            format!("the image of job {} came from no registry: nobody attached an SBOM", job.id),
        )
        .with_hint("only images of a registry have one beside them")
        .into());
    };
    let Looked { found, passed } = context.block_on(sbom(&context.client()?, &pin))??;
    for why in &passed {
        output::warn(output::cell(why));
    }
    let image = pin.reference();
    let Some(Found { bytes, place, blob }) = found else {
        return Err(CliError::new(
            Kind::NotFound,
            format!("{image} has no SBOM in CycloneDX in its registry"),
        )
        .with_hint(
            "the job that builds it can attach one: syft IMAGE -o cyclonedx-json=FILE, then oras attach or cosign attest",
        )
        .into());
    };
    context
        .voice
        .say(format!("{}: attached in the registry, not checked by anybody", output::cell(&place)));
    match &args.output {
        Some(path) => {
            files::replace(path, 0o644, &bytes).map_err(|error| {
                let kind = io_kind(&error, Kind::Configuration);
                CliError::new(kind, format!("cannot write {}: {error}", path.display()))
            })?;
            if context.voice.json {
                document::print(
                    &json!({ "image": image.to_string(), "place": place, "blob": blob, "path": path }),
                );
            }
        }
        None if context.voice.json => {
            let text = String::from_utf8_lossy(&bytes);
            document::print(
                &json!({ "image": image.to_string(), "place": place, "blob": blob, "text": text }),
            );
        }
        None => output::bytes(&bytes),
    }
    Ok(0)
}
