//! From WHAT a user typed to a staged image, with progress on stderr; shared by the verbs.

use std::path::Path;
use std::sync::Arc;

use super::context::Context;
use super::from_gitlab::FromGitlab;
use super::locked;
use super::machine::Manners;
use super::name;
use super::output::{self, CliError, Report};
use super::progress::progress;
use super::prune;
use super::published::{self, Taken};
use super::room;
use crate::archive::Location;
use crate::failure::{Failure, Kind};
use crate::lock::SIF_SCHEME;
use crate::oci::{Digest, HubName, Platform, Reference, SifDigest};
use crate::pin::{Image, Pin, Recipe, Resolved};
use crate::resolve;
use crate::stage::{self, Archived, How, MyTurn, StageError, Staged};
use crate::store::Store;

/// Warnings of a conversion that are told one by one.
const MAX_WARNINGS: usize = 200;

/// Fetches a SIF that lies in a registry.
fn stored(context: &Context, reference: &Reference, platform: &Platform) -> Result<Staged, Report> {
    let client = context.client()?;
    let resolved = resolve::artifact::artifact(&client, reference, platform);
    let (pin, sif) = context.block_on(resolved)??;
    context.voice.say(format!("pinned {SIF_SCHEME}{}, the SIF {}", pin.reference(), sif.digest));
    let (store, mut show) = (context.store()?, progress(context.voice));
    let fetched = stage::artifact::artifact(&pin, &sif, &client, &store, &mut show);
    Ok(context.block_on(fetched)??)
}

/// The SIF of a hub: from the store when its digest was typed and it is there, else fetched. Without
/// a platform it may be for any.
///
/// # Errors
/// As the hub and the store say.
pub fn of_hub(
    context: &Context,
    name: &HubName,
    platform: Option<&Platform>,
) -> Result<(HubName, Staged), Report> {
    let store = context.store()?;
    if let Some(known) = stage::artifact::of_hub(name, platform, &store)? {
        return Ok((name.clone(), known));
    }
    let (client, endpoint) = (context.client()?, context.hub()?);
    let fetched = async {
        let file = client.hub(&endpoint, name).await.map_err(StageError::from)?;
        stage::artifact::from_hub(name, &file, &client, &store).await
    };
    let sif = context.block_on(fetched)?.map_err(|error| match error {
        StageError::Registry(error) if error.kind() == Kind::Network => Report::from(
            CliError::new(Kind::Network, error.to_string()).with_hint(format!(
                "{endpoint} plays Singularity Hub, which has been a read-only archive since 2021 and \
                 may be switched off; another place is named by [shub] endpoint in your \
                 configuration, or push the SIF to a registry and name it with {SIF_SCHEME}"
            )),
        ),
        error => error.into(),
    })?;
    let pinned = name.pinned(sif);
    match stage::artifact::of_hub(&pinned, platform, &store)? {
        Some(staged) => Ok((pinned, staged)),
        None => Err(CliError::new(Kind::NotFound, format!("{pinned} was pruned just now")).into()),
    }
}

/// Resolves one reference now.
///
/// # Errors
/// As the registry says.
pub fn resolve(
    context: &Context,
    reference: &Reference,
    platform: &Platform,
) -> Result<Resolved, Report> {
    let client = context.client()?;
    Ok(context.block_on(resolve::resolve(&client, reference, platform))??)
}

/// What was asked for: by name, or by what GitLab's CI built.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// WHAT.
    pub what: Option<&'a str>,
    /// The flags in its place.
    pub from: &'a FromGitlab,
    /// Only what `moorline.lock` holds.
    pub locked: bool,
}

impl Wanted<'_> {
    /// The image, or its project's place in the registry, as far as it is known without asking.
    pub fn place(&self, context: &Context) -> Option<String> {
        let nowhere = |what: &str| {
            name::is_sif(what) || HubName::is_meant(what) || Location::parse(what).is_some()
        };
        if self.what.is_some_and(nowhere) {
            return None;
        }
        if let Some(built) = self.what.and_then(|what| name::built(context, what)) {
            return built.place(context);
        }
        let what = self.what.map(|what| name::without_scheme(context, what));
        what.or_else(|| self.from.place(context))
    }
}

/// The pin of what was asked for.
///
/// # Errors
/// As GitLab and the registry say; 2 when nothing was named outside CI, 11 when `locked` forbids it.
pub fn pin(context: &Context, wanted: Wanted<'_>, platform: &Platform) -> Result<Pin, Report> {
    let pin = match wanted.what {
        Some(_) if wanted.from.is_named() => {
            return Err(CliError::usage("an image was named twice: IMAGE and --project").into());
        }
        Some(what) if wanted.locked => locked::pin(context, what, platform)?,
        Some(what) => match name::built(context, what) {
            Some(built) => built.find(context, platform)?.resolved.pin,
            None => resolve(context, &name::reference(context, what)?, platform)?.pin,
        },
        None if wanted.from.is_named() || context.ci_job()?.is_some() => {
            let pin = wanted.from.find(context, platform)?.resolved.pin;
            if wanted.locked {
                locked::require(context, &pin)?;
            }
            pin
        }
        None => {
            return Err(CliError::usage("no image was named")
                .with_hint("name one: group/project:tag, or --project GROUP/PROJECT --ref BRANCH")
                .into());
        }
    };
    context.voice.say(format!("pinned {}", pin.reference()));
    Ok(pin)
}

/// Resolves, fetches and converts what the store lacks.
///
/// # Errors
/// As the steps of the line say.
pub fn stage(
    context: &Context,
    wanted: Wanted<'_>,
    platform: &Platform,
    recipe: &Recipe,
) -> Result<Image, Report> {
    if let Some(file) = wanted.what.filter(|what| name::is_sif(what)) {
        if wanted.locked {
            return Err(unlocked("a SIF file"));
        }
        return Ok(stage::file(Path::new(file))?);
    }
    if let Some(name) = wanted.what.map(|what| name::hub_name(context, what)).transpose()?.flatten()
    {
        if wanted.from.is_named() {
            return Err(CliError::usage("an image was named twice: IMAGE and --project").into());
        }
        let name = match wanted.what.filter(|_| wanted.locked) {
            Some(what) => locked::hub(context, what, &name, platform)?,
            None => name,
        };
        let (pinned, staged) = of_hub(context, &name, Some(platform))?;
        context.voice.say(format!("pinned {pinned}"));
        return Ok(staged.image);
    }
    if let Some(reference) =
        wanted.what.map(|what| name::artifact(context, what)).transpose()?.flatten()
    {
        if wanted.from.is_named() {
            return Err(CliError::usage("an image was named twice: IMAGE and --project").into());
        }
        if !wanted.locked {
            return Ok(stored(context, &reference, platform)?.image);
        }
        let what = wanted.what.unwrap_or_default();
        let (pin, sif) = locked::sif(context, what, &reference, platform)?;
        let by_digest = Reference { digest: Some(pin.manifest), ..pin.asked.clone() };
        return same(&pin, &sif, stored(context, &by_digest, platform)?.image);
    }
    let manners = Manners::of(context, None);
    Ok(staged(context, wanted, platform, recipe, manners)?.staged.image)
}

/// `--locked` with something that no lock file names.
fn unlocked(what: &str) -> Report {
    CliError::new(Kind::Policy, format!("--locked: {what} is not in moorline.lock"))
        .with_hint("name an image of moorline.toml")
        .into()
}

/// A staged image and what it was made from.
pub struct From {
    /// The image.
    pub staged: Staged,
    /// The platform's manifest.
    pub manifest: Digest,
    /// The pin, unless the image came from an archive.
    pub pin: Option<Pin>,
}

/// As [`stage`], without SIF files.
///
/// # Errors
/// As the steps of the line say.
pub fn staged(
    context: &Context,
    wanted: Wanted<'_>,
    platform: &Platform,
    recipe: &Recipe,
    manners: Manners,
) -> Result<From, Report> {
    let location = wanted.what.and_then(Location::parse).filter(|_| !wanted.from.is_named());
    if let Some(location) = location {
        if wanted.locked {
            return Err(unlocked("an archive"));
        }
        return archived(context, &location, platform, recipe, manners);
    }
    if let Some(what) = wanted.what.filter(|_| !wanted.locked && !wanted.from.is_named()) {
        let asked = name::reference(context, what)?;
        let store = context.store()?;
        let known = match asked.digest {
            Some(_) => stage::known_digest(&asked, platform, recipe, &store)?,
            None => None,
        };
        tell(&store);
        if let Some((pin, staged)) = known {
            context.voice.say(format!("pinned {}", pin.reference()));
            published::still_trusted(context, &staged);
            return Ok(From { staged, manifest: pin.manifest, pin: Some(pin) });
        }
    }
    let pin = pin(context, wanted, platform)?;
    Ok(From {
        staged: sif(context, &pin, recipe, manners)?,
        manifest: pin.manifest,
        pin: Some(pin),
    })
}

/// The image of an archive: known, or converted now.
fn archived(
    context: &Context,
    location: &Location,
    platform: &Platform,
    recipe: &Recipe,
    manners: Manners,
) -> Result<From, Report> {
    let store = context.store()?;
    room::suits(context, &store, false);
    let show: stage::Show = Arc::new(progress(context.voice));
    let (manifest, found, archived) = stage::archived(location, platform, recipe, &store, &show)?;
    // there is no pin that says it
    context.note_platform(found);
    tell(&store);
    let staged = match archived {
        Archived::Known(staged) => *staged,
        Archived::New(image) => {
            room::has_room(context, &store);
            let how = How { recipe, threads: manners.threads, limits: context.limits() };
            manners.with(|| image.convert(how, &store, &show))?
        }
    };
    // the bars go before anything is said
    drop(show);
    tell(&store);
    context.voice.say(format!("pinned {manifest}"));
    if !staged.known {
        prune::keep_to_limit(context, &staged.image);
    }
    warn(&staged);
    Ok(From { staged, manifest, pin: None })
}

/// Says what the store met: an image that is made again was there before.
pub fn tell(store: &Store) {
    for what in store.told() {
        output::warn(what);
    }
}

fn warn(staged: &Staged) {
    for warning in staged.warnings.iter().take(MAX_WARNINGS) {
        output::warn(warning);
    }
    if let Some(more) = staged.warnings.len().checked_sub(MAX_WARNINGS).filter(|more| *more > 0) {
        output::warn(format!("{more} more warnings; --json lists them all"));
    }
}

/// The SIF of a pin: from the store, the site's, beside the image in its registry, or made now.
///
/// # Errors
/// As the registry, the conversion and the store say.
pub fn sif(
    context: &Context,
    pin: &Pin,
    recipe: &Recipe,
    manners: Manners,
) -> Result<Staged, Report> {
    let store = context.store()?;
    let known = stage::known(pin, recipe, &store)?;
    tell(&store);
    if let Some(known) = known {
        published::still_trusted(context, &known);
        return Ok(known);
    }
    if let Some(site) = context.site_store() {
        let client = context.client()?;
        match context.block_on(stage::from_site(pin, recipe, &site, &client))? {
            Ok(Some(staged)) => return Ok(staged),
            Ok(None) => {}
            // what cannot be believed is as good as absent, but somebody should know
            Err(StageError::Store(error)) => {
                output::warn(output::cell(&format!("the site's image is not used: {error}")));
            }
            Err(error) => return Err(error.into()),
        }
    }
    room::suits(context, &store, false);
    room::has_room(context, &store);
    let show: stage::Show = Arc::new(progress(context.voice));
    let lease = match stage::turn(pin, recipe, &store, &mut |p| show(p))? {
        MyTurn::No(made) => return Ok(*made),
        MyTurn::Yes(lease) => lease,
    };
    let client = context.client()?;
    let unused = match published::take(context, pin, recipe, &client, &store)? {
        Taken::Yes(staged) => {
            drop(lease);
            prune::keep_to_limit(context, &staged.image);
            return Ok(*staged);
        }
        Taken::No(unused) => unused,
    };
    let fetch = stage::fetch(pin, &client, &store, Arc::clone(&show));
    let (documents, supply) = context.block_on(fetch)??;
    let how = How { recipe, threads: manners.threads, limits: context.limits() };
    let staged = manners.with(|| stage::convert(pin, documents, &supply, how, &store, &show))?;
    // the bars go before anything is said
    drop((lease, supply, show));
    tell(&store);
    prune::keep_to_limit(context, &staged.image);
    warn(&staged);
    if let (Some(unused), Image::Sif { digest, .. }) = (unused, &staged.image) {
        unused.compare(digest);
    }
    Ok(staged)
}

/// The image of an earlier job where it is now: the same digest, or an error.
///
/// # Errors
/// When it is gone, or converts to other bytes than it did.
pub fn restage(context: &Context, image: &Image) -> Result<Image, Report> {
    let Image::Sif { pin, digest, recipe, place, .. } = image else { return Ok(image.clone()) };
    if place.is_file() {
        return Ok(image.clone());
    }
    if let (Some(pin), None) = (pin, recipe) {
        // it was fetched as a SIF, and is that again by its digest
        let by_digest = Reference { digest: Some(pin.manifest), ..pin.asked.clone() };
        return same(pin, digest, stored(context, &by_digest, &pin.platform)?.image);
    }
    let (Some(pin), Some(recipe)) = (pin, recipe) else {
        return Err(CliError::new(
            Kind::NotFound,
            format!("the job's image {} is gone, and it came from no registry", place.display()),
        )
        .into());
    };
    let staged = sif(context, pin, recipe, Manners::of(context, None))?;
    same(pin, digest, staged.image)
}

/// The image that an earlier job used, or an error.
fn same(pin: &Pin, digest: &SifDigest, image: Image) -> Result<Image, Report> {
    match &image {
        Image::Sif { digest: made, .. } if made != digest => Err(CliError::new(
            Kind::Integrity,
            format!("{} gives the SIF {made} now; the job used {digest}", pin.reference()),
        )
        .into()),
        _ => Ok(image),
    }
}
