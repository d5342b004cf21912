//! `moorline resolve`: references to pinned ones.

use clap::Args as ClapArgs;

use super::context::Context;
use super::credential_args::CredentialArgs;
use super::image;
use super::output::{self, CliError, Outcome, Report};
use crate::oci::{Platform, Reference};
use crate::pin::Resolved;
use crate::resolve;

/// Turn image references into pinned ones: registry/repository@sha256:...
///
/// One line for each reference in the order given; an empty one where it failed.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline resolve gitlab-registry.example/group/project:v1
  moorline resolve --platform linux/arm64 group/project:v1 group/project:v2
  moorline --json resolve group/project:v1")]
pub struct Args {
    /// Images: group/project:tag, registry/..., docker://..., or names of moorline.toml
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// Platform of the image, for example linux/arm64; default: this machine's
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    #[command(flatten)]
    credential: CredentialArgs,
}

/// The verb: the exit code is that of the worst reference.
///
/// # Errors
/// When the client cannot be made at all.
pub fn run(context: &Context, args: &Args) -> Outcome {
    args.credential.apply(context, args.images.iter().map(String::as_str))?;
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let parsed: Vec<Result<Reference, Report>> =
        args.images.iter().map(|what| pinnable(context, what)).collect();
    let asked: Vec<(Reference, Platform)> =
        parsed.iter().filter_map(|r| Some((r.as_ref().ok()?.clone(), platform.clone()))).collect();
    let client = context.client()?;
    let mut answers = context.block_on(resolve::resolve_many(&client, &asked))?.into_iter();
    let answers: Vec<Result<Resolved, Report>> = parsed
        .into_iter()
        .map(|reference| match reference {
            Ok(_) => match answers.next() {
                Some(answer) => answer.map_err(Report::from),
                None => Err(CliError::usage("no answer came for this reference").into()),
            },
            Err(error) => Err(error),
        })
        .collect();
    let worst = answers
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .map(|report| super::exit::code(report.0.kind()))
        .max()
        .unwrap_or(0);
    if context.voice.json {
        let values: Vec<serde_json::Value> = answers.iter().map(value).collect();
        match values.as_slice() {
            [one] => output::json(one),
            several => output::json(&several),
        }
    }
    for answer in &answers {
        match answer {
            Ok(resolved) => {
                if resolved.tag_points_here == Some(false) {
                    output::warn(format!(
                        "{}: the tag points to another image now",
                        resolved.pin.asked
                    ));
                }
                if !context.voice.json {
                    output::line(resolved.pin.reference().to_string());
                }
            }
            Err(report) => {
                if !context.voice.json {
                    output::line("");
                }
                output::error(report);
            }
        }
    }
    Ok(worst)
}

fn pinnable(context: &Context, what: &str) -> Result<Reference, Report> {
    if image::is_sif(what) {
        return Err(CliError::usage(format!(
            "{}: a SIF file needs no resolving",
            output::cell(what)
        ))
        .with_hint("submit or run it as it is: it is pinned by its own digest")
        .into());
    }
    image::reference(context, what)
}

/// The whole pin, or `null`: the error is on stderr.
fn value(answer: &Result<Resolved, Report>) -> serde_json::Value {
    let Ok(resolved) = answer else { return serde_json::Value::Null };
    let mut value = serde_json::to_value(resolved).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("reference".into(), resolved.pin.reference().to_string().into());
    }
    value
}
