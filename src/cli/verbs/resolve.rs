//! `moorline resolve`: references to pinned ones.

use clap::Args as ClapArgs;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::acquire::{self, AcquireError, What};
use crate::cli::args::credential_args::CredentialArgs;
use crate::cli::args::from_gitlab::FromGitlab;
use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::fault;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::cli::verbs::lock;
use crate::lock::SIF_SCHEME;
use crate::oci::{HubName, Platform, Reference, Sha256Digest, SifDigest};
use crate::pin::{Pin, Resolved};
use crate::resolve;
use crate::resolve::origin::{self, Found};

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
    let parsed: Vec<Result<What, Report>> =
        args.images.iter().map(|word| pinnable(context, word)).collect();
    // what is not an image gets its own error below, and does not end the others
    if parsed.iter().any(Result::is_ok) {
        let registries = parsed.iter().flatten().map(|what| what.registry(context));
        args.credential.apply(context, registries)?;
    }
    let reference = |what: &Result<What, Report>| match what {
        Ok(What::Reference(reference)) => Some((reference.clone(), platform.clone())),
        _ => None,
    };
    let asked: Vec<(Reference, Platform)> = parsed.iter().filter_map(reference).collect();
    let client = context.client()?;
    let mut answers = context.block_on(resolve::resolve_many(&client, &asked))?.into_iter();
    let answers: Vec<Result<Answer, Report>> = parsed
        .into_iter()
        .map(|named| match named {
            Ok(What::Built(build)) => Ok(build.find(context, &platform)?.resolved.into()),
            Ok(What::Oras(reference)) => stored(context, &reference, &platform),
            Ok(What::Hub(name)) => {
                let (name, staged) = acquire::of_hub(context, &name, None)?;
                Ok(Answer::Hub { name, size: staged.size })
            }
            // `pinnable` let no file through
            Ok(What::Reference(_) | What::File(_) | What::Archive(_)) => match answers.next() {
                Some(answer) => answer.map(Answer::from).map_err(Report::from),
                None => Err(AcquireError::NoAnswer.into()),
            },
            Err(error) => Err(error),
        })
        .collect();
    let worst = answers
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .map(|report| crate::cli::show::exit::code(report.0.kind()))
        .max()
        .unwrap_or(0);
    let beside =
        args.sif.then(|| acquire::published::beside(context, &pins(&answers))).transpose()?;
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
    for answer in &answers {
        match answer {
            Ok(answer) => {
                if let Some(file) = &args.dotenv {
                    lock::replace(file, &answer.dotenv())?;
                }
                if let Answer::Image { resolved, .. } = answer {
                    warn_of(resolved);
                }
                if !context.voice.json {
                    output::line(answer.reference());
                }
            }
            Err(report) => {
                if !context.voice.json {
                    output::line("");
                }
                fault::error(report);
            }
        }
    }
    Ok(worst)
}

/// What a user should know of an image although it was found.
fn warn_of(resolved: &Resolved) {
    if resolved.tag_points_here == Some(false) {
        output::warn(format!("{}: the tag points to another image now", resolved.pin.asked));
    }
    // what CI built has these among its own warnings
    if resolved.pin.origin.as_ref().is_none_or(|origin| !origin.evidence.contains_key("image")) {
        for contradiction in resolve::labels::contradictions(resolved) {
            output::warn(output::cell(&contradiction));
        }
    }
}

/// The image that CI built.
fn built(context: &Context, args: &Args, platform: &Platform) -> Outcome {
    if !args.from.is_named() && context.ci_job()?.is_none() && acquire::remote(context)?.is_none() {
        return Err(CliError::usage("no image was named")
            .with_hint("name one: group/project:tag, or --project GROUP/PROJECT --ref BRANCH; it may be left out only inside GitLab CI and in a clone")
            .into());
    }
    let Found { resolved, notes, warnings } = args.from.build().find(context, platform)?;
    if let Some(file) = &args.dotenv {
        lock::replace(file, &origin::dotenv(&resolved))?;
    }
    if let Some(known) = &resolved.pin.origin {
        let rows = known.evidence.iter().map(|(what, how)| format!("{what}: {how}"));
        context.voice.say(format!("known by {}", rows.collect::<Vec<_>>().join("; ")));
    }
    let answers = [Ok(resolved.into())];
    let beside =
        args.sif.then(|| acquire::published::beside(context, &pins(&answers))).transpose()?;
    if !context.voice.json {
        output::line(answers.iter().flatten().map(Answer::reference).collect::<String>());
        return Ok(0);
    }
    let mut value = value(&answers[0]);
    if let Some(found) = beside {
        value["registry_sif"] = found.into_iter().next().unwrap_or_default();
    }
    value["notes"] = notes.into();
    value["warnings"] = warnings.into();
    document::print(&value);
    Ok(0)
}

/// What a word means, if that can be pinned.
fn pinnable(context: &Context, word: &str) -> Result<What, Report> {
    match What::parse(context, word)? {
        What::File(_) => {
            Err(CliError::usage(format!("{}: a SIF file needs no resolving", output::cell(word)))
                .with_hint("submit or run it as it is: it is pinned by its own digest")
                .into())
        }
        what @ What::Archive(_) => Ok(What::Reference(what.into_reference(word)?)),
        what => Ok(what),
    }
}

/// A SIF that lies in a registry.
fn stored(context: &Context, asked: &Reference, platform: &Platform) -> Result<Answer, Report> {
    let client = context.client()?;
    let resolved = resolve::artifact::artifact(&client, asked, platform);
    let (pin, sif) = context.block_on(resolved)??;
    let tag_points_here = asked.digest.is_none().then_some(true);
    let (size, labels, annotations) = (sif.size, BTreeMap::new(), BTreeMap::new());
    let resolved = Resolved { pin, size, created: None, labels, annotations, tag_points_here };
    let sif = Some(SifDigest::from_bytes(*sif.digest.bytes()));
    Ok(Answer::Image { resolved: Box::new(resolved), sif })
}

/// What it is.
enum Answer {
    Image {
        resolved: Box<Resolved>,
        /// Of an artifact: the SIF's own digest.
        sif: Option<SifDigest>,
    },
    /// A SIF of a hub, with its digest.
    Hub { name: HubName, size: u64 },
}

impl Answer {
    /// As it can be typed again.
    fn reference(&self) -> String {
        match self {
            Self::Image { resolved, sif } => {
                let scheme = if sif.is_some() { SIF_SCHEME } else { "" };
                format!("{scheme}{}", resolved.pin.reference())
            }
            Self::Hub { name, .. } => name.to_string(),
        }
    }

    /// The text of a dotenv report.
    fn dotenv(&self) -> String {
        match self {
            Self::Image { resolved, .. } => origin::dotenv(resolved),
            Self::Hub { name, .. } => {
                let digest = name.sif.map(|sif| sif.to_string()).unwrap_or_default();
                format!("MOORLINE_IMAGE={name}\nMOORLINE_DIGEST={digest}\n")
            }
        }
    }
}

impl From<Resolved> for Answer {
    fn from(resolved: Resolved) -> Self {
        Self::Image { resolved: Box::new(resolved), sif: None }
    }
}

/// The pins of the images among the answers.
fn pins<'a>(answers: &'a [Result<Answer, Report>]) -> Vec<Option<&'a Pin>> {
    let pin = |answer: &'a Result<Answer, Report>| match answer {
        Ok(Answer::Image { resolved, sif: None }) => Some(&resolved.pin),
        _ => None,
    };
    answers.iter().map(pin).collect()
}

/// The whole pin, or `null`: the error is on stderr.
fn value(answer: &Result<Answer, Report>) -> serde_json::Value {
    let Ok(answer) = answer else { return serde_json::Value::Null };
    let (mut value, sif) = match answer {
        Answer::Image { resolved, sif } => {
            (serde_json::to_value(resolved).unwrap_or_default(), *sif)
        }
        Answer::Hub { name, size } => {
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
