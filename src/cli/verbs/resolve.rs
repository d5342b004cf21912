//! `moorline resolve`: turns references into pinned ones.

use clap::Args as ClapArgs;

use std::path::PathBuf;

use crate::acquire::{self, AcquireError, Resolution, Words};
use crate::cli::args::credential_args::CredentialArgs;
use crate::cli::args::from_gitlab::FromGitlab;
use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::exit;
use crate::cli::show::fault;
use crate::cli::show::file;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::failure::Kind;
use crate::oci::Platform;
use crate::resolve::origin::BuiltImage;

/// Turn image references into pinned ones: registry/repository@sha256:...
///
/// One line for each reference in the order given; an empty one where it failed. Inside GitLab CI
/// without arguments: the image that this pipeline built.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline resolve gitlab-registry.example/group/project:v1
  moorline resolve --platform linux/arm64 group/project:v1 group/project:v2
  moorline resolve --project group/project --pipeline latest
  moorline resolve --digest-file digest.txt --dotenv moorline.env
  moorline --json resolve group/project:v1")]
pub struct Args {
    /// Images: group/project:tag, registry/..., docker://..., or names of moorline.toml
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Platform of the image, for example linux/arm64; default: this machine's
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Write `MOORLINE_IMAGE` and `MOORLINE_DIGEST` to this file, for a dotenv report
    #[arg(long, value_name = "FILE")]
    dotenv: Option<PathBuf>,
    /// Also ask whether a SIF lies beside the image, and whether a configured key signed it
    #[arg(long)]
    sif: bool,
    #[command(flatten)]
    from: FromGitlab,
    #[command(flatten)]
    credential: CredentialArgs,
}

/// The verb: the exit code is that of the worst reference.
///
/// # Errors
/// When the client cannot be made at all.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    if args.images.is_empty() {
        args.credential.apply(context, [args.from.build().registry(context)])?;
        return built(context, args, &platform);
    }
    if args.from.is_named() {
        return Err(AcquireError::NamedTwice.into());
    }
    if args.dotenv.is_some() && args.images.len() > 1 {
        return Err(CliError::usage("--dotenv takes one image").into());
    }
    let words = Words::read(context, &args.images);
    // what is not an image gets its own error below, and does not end the others
    if words.has_images() {
        args.credential.apply(context, words.registries(context))?;
    }
    let answers = words.resolve(context, &platform)?;
    let beside = args.sif.then(|| acquire::beside(context, &answers)).transpose()?;
    if context.voice.json {
        let mut values: Vec<serde_json::Value> = answers.iter().map(value).collect();
        for (value, found) in values.iter_mut().zip(beside.into_iter().flatten()) {
            if let Some(object) = value.as_object_mut() {
                object.insert("registry_sif".into(), found);
            }
        }
        match values.as_slice() {
            [one] => document::print(one),
            several => document::print(&several),
        }
    }
    let mut worst = 0;
    for answer in &answers {
        match answer {
            Ok(answer) => show(context, args, answer)?,
            Err(report) => {
                if !context.voice.json {
                    output::line("");
                }
                fault::error(report);
                worst = worst.max(exit::code(report.0.kind()));
            }
        }
    }
    Ok(worst)
}

fn show(context: &Context, args: &Args, answer: &Resolution) -> Result<(), Report> {
    if let Some(dotenv) = &args.dotenv {
        file::replace(dotenv, &answer.dotenv(), Kind::Configuration)?;
    }
    for warning in answer.warnings() {
        output::warn(warning);
    }
    if !context.voice.json {
        output::line(answer.reference());
    }
    Ok(())
}

/// The image that CI built.
fn built(context: &Context, args: &Args, platform: &Platform) -> Outcome {
    let BuiltImage { resolved, notes, warnings } =
        acquire::resolve_built(context, &args.from.build(), platform)?;
    let evidence = resolved.pin.origin.as_ref().map(|known| known.evidence.clone());
    let answer = Resolution::from(resolved);
    if let Some(dotenv) = &args.dotenv {
        file::replace(dotenv, &answer.dotenv(), Kind::Configuration)?;
    }
    if let Some(evidence) = evidence {
        let rows = evidence.iter().map(|(what, how)| format!("{what}: {how}"));
        context.voice.say(format!("known by {}", rows.collect::<Vec<_>>().join("; ")));
    }
    let answer = [Ok(answer)];
    let beside = args.sif.then(|| acquire::beside(context, &answer)).transpose()?;
    let [answer] = &answer;
    if !context.voice.json {
        output::line(answer.as_ref().map(Resolution::reference).unwrap_or_default());
        return Ok(0);
    }
    let mut value = value(answer);
    if let Some(found) = beside {
        value["registry_sif"] = found.into_iter().next().unwrap_or_default();
    }
    value["notes"] = notes.into();
    value["warnings"] = warnings.into();
    document::print(&value);
    Ok(0)
}

/// The whole pin, or `null`: the error is on stderr.
fn value(answer: &Result<Resolution, Report>) -> serde_json::Value {
    let Ok(answer) = answer else { return serde_json::Value::Null };
    let (mut value, sif) = match answer {
        Resolution::Image { resolved, sif } => {
            (serde_json::to_value(resolved).unwrap_or_default(), *sif)
        }
        Resolution::Hub { name, size } => {
            (serde_json::json!({ "asked": name, "size": size }), name.sif)
        }
    };
    if let Some(object) = value.as_object_mut() {
        object.insert("reference".into(), answer.reference().into());
        if let Some(sif) = sif {
            object.insert("sif".into(), sif.to_string().into());
        }
    }
    value
}
