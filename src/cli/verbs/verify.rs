//! `moorline verify`: checks that a SIF holds what it says it was made from.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args as ClapArgs;

use crate::archive::Location;
use crate::cli::context::Context;
use crate::cli::context::machine::manners;
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::cli::show::progress::progress;
use crate::failure::Kind;
use crate::ledger::index::ImageName;
use crate::oci::{Digest, Reference, Registry, Repository, Sha256Digest};
use crate::stage::Show;
use crate::stage::verify::{Claim, Prepared, Verified};

/// Check that a SIF is what it says that it was made from.
///
/// The SIF is made again from the manifest that it names, out of the store, a repository that a job
/// in the ledger had it from, or --from, and compared. A mismatch exits with 6; what cannot be
/// made again here is unproven, and exits with 0.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline verify analysis.sif
  moorline verify analysis.sif --from gitlab-registry.example/group/project")]
pub struct Args {
    /// The SIF
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Take from here what the store lacks: a repository; or an archive, oci:DIR and the like
    #[arg(long, value_name = "REGISTRY/REPOSITORY")]
    from: Option<String>,
}

/// The verb: prints the verdict.
///
/// # Errors
/// When the file is not a SIF, a blob is corrupt, or as the registry and the store say.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let claim = Claim::read(&args.file)?;
    let digest = claim.digest;
    let manifest = claim.provenance.as_ref().ok().map(|(said, _)| said.manifest);
    let recipe = claim.provenance.as_ref().ok().map(|(said, _)| said.recipe.clone());
    let location = args.from.as_deref().and_then(Location::parse);
    let place = match (&args.from, &manifest) {
        (Some(_), _) if location.is_some() => None,
        (Some(text), _) => Some(repository(context, text)?),
        (None, Some(manifest)) => remembered(context, manifest),
        (None, None) => None,
    };
    let store = context.store()?;
    let show: Show = Arc::new(progress(context.voice));
    let prepared = if let Some(location) = &location {
        claim.parts_of(location, &store, &show)?
    } else {
        let client = context.client()?;
        let from = place.as_ref().map(|(registry, repository)| (&client, registry, repository));
        context.block_on(claim.parts(from, &store, &show))??
    };
    let manners = manners(context, None);
    let verified = match prepared {
        Prepared::Verdict(verdict) => verdict,
        Prepared::Parts(parts) => {
            let how = (manners.threads, context.limits());
            manners.with(|| claim.again(*parts, &store, how, &show))?
        }
    };
    // the bars go before anything is said
    drop(show);

    let (word, why) = match &verified {
        Verified::MatchBytes => ("Match (bytes)", None),
        Verified::MatchContent(why) => ("Match (content)", Some(why)),
        Verified::Mismatch(why) => ("Mismatch", Some(why)),
        Verified::Unproven(why) => ("Unproven", Some(why)),
    };
    if context.voice.json {
        let verdict = word.to_lowercase().replace(" (", "-").replace(')', "");
        document::print(&serde_json::json!({
            "verdict": verdict, "why": why, "sif": digest, "manifest": manifest, "recipe": recipe,
        }));
    } else {
        let why = why.map(|why| format!(": {}", output::cell(why))).unwrap_or_default();
        output::line(format!("{word}{why}"));
        if let Some(manifest) = manifest {
            context.voice.say(format!("{digest} says that it was made from {manifest}"));
        }
    }
    if let Some(hint) = hint(&verified, manifest.as_ref(), place.as_ref()) {
        context.voice.say(format!("hint: {hint}"));
    }
    Ok(match verified {
        Verified::Mismatch(_) => crate::cli::show::exit::code(Kind::Integrity),
        _ => 0,
    })
}

/// What to try after an answer that is no match.
fn hint(
    verified: &Verified,
    manifest: Option<&Digest>,
    place: Option<&(Registry, Repository)>,
) -> Option<String> {
    match (verified, manifest, place) {
        (Verified::Mismatch(_), Some(manifest), Some((registry, repository))) => {
            Some(format!("moorline convert {registry}/{repository}@{manifest} makes the right one"))
        }
        (Verified::Unproven(_), Some(_), None) => {
            Some("name a repository that has the image: --from REGISTRY/REPOSITORY".to_owned())
        }
        _ => None,
    }
}

fn repository(context: &Context, text: &str) -> Result<(Registry, Repository), Report> {
    let parsed = Reference::parse(text, context.default_registry())
        .map_err(|error| CliError::usage(format!("--from {}: {error}", output::cell(text))))?;
    if parsed.tag.is_some() || parsed.digest.is_some() {
        let message = format!("--from {}: a repository has no tag or digest", output::cell(text));
        return Err(CliError::usage(message)
            .with_hint("the SIF itself says which manifest it was made from")
            .into());
    }
    Ok((parsed.registry, parsed.repository))
}

/// Where a job's image of this manifest came from. A ledger that cannot be read is none.
fn remembered(context: &Context, manifest: &Digest) -> Option<(Registry, Repository)> {
    let name = ImageName::Digest(*manifest.bytes());
    let view = context.of_image(&name, 5).ok()?;
    let pins = view.jobs().rev().filter_map(|job| job.last().image.pin());
    let pin = pins.into_iter().find(|pin| pin.manifest == *manifest)?;
    Some((pin.registry.clone(), pin.repository.clone()))
}
