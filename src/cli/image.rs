//! From WHAT a user typed to a staged image, with progress on stderr; shared by the verbs.

use std::path::Path;
use std::sync::Arc;

use super::context::Context;
use super::from_gitlab::FromGitlab;
use super::lock;
use super::machine::Manners;
use super::output::{self, CliError, Report};
use super::progress::progress;
use super::published::{self, Taken};
use super::room;
use crate::archive::Location;
use crate::failure::{Failure, Kind};
use crate::job::{JobId, JobSpec};
use crate::lock::SIF_SCHEME;
use crate::oci::{Digest, HubName, Platform, Reference, SifDigest};
use crate::pin::{Codec, Image, Pin, Recipe, Resolved};
use crate::resolve;
use crate::stage::{self, Archived, How, MyTurn, StageError, Staged};
use crate::store::Store;

/// Warnings of a conversion that are told one by one.
const MAX_WARNINGS: usize = 200;

/// The recipe of images that nobody asked to be special.
pub fn default_recipe() -> Recipe {
    stage::convert::recipe(Codec::Zstd, 3, 128 * 1024)
}

/// The reference that WHAT means: a name of moorline.toml, else an image reference.
///
/// # Errors
/// When it is no reference, or a form that is not built yet.
pub fn reference(context: &Context, what: &str) -> Result<Reference, Report> {
    let text = context.settings().images.get(what).map_or(what, String::as_str);
    if let Some(words) = context.settings().built.get(what) {
        let message = format!("{}: it is what CI built ({words})", output::cell(what));
        return Err(CliError::usage(message)
            .with_hint("resolve, lock, convert, run and submit take it; write a reference here")
            .into());
    }
    // a path is not taken from moorline.toml: that is somebody else's input
    if ["oci:", "oci-archive:", "docker-archive:"].iter().any(|scheme| text.starts_with(scheme)) {
        let message = format!("{}: this image is in no registry", output::cell(text));
        return Err(CliError::usage(message)
            .with_hint("convert, run and submit take it on their command line, with a path")
            .into());
    }
    if text.starts_with(SIF_SCHEME) || HubName::is_meant(text) {
        let message = format!("{}: this is a SIF, and not an image", output::cell(text));
        return Err(CliError::usage(message)
            .with_hint("resolve, run and submit take it on their command line")
            .into());
    }
    for (scheme, what) in [("library://", "the Sylabs library"), ("lfn:", "grid storage")] {
        if text.starts_with(scheme) {
            return Err(CliError::usage(format!(
                "{}: {what} cannot be read yet",
                output::cell(text)
            ))
            .with_hint("push the image to a registry and name it there")
            .into());
        }
    }
    Reference::parse(text, context.default_registry()).map_err(|error| {
        CliError::usage(format!("{}: {error}", output::cell(text)))
            .with_hint("write registry/group/project:tag, or group/project:tag with registry = \"...\" in the configuration")
            .into()
    })
}

/// The place of a SIF in a registry, when WHAT is one, or a name of moorline.toml for one.
///
/// # Errors
/// When what is behind the scheme is no reference.
pub fn artifact(context: &Context, what: &str) -> Result<Option<Reference>, Report> {
    let text = context.settings().images.get(what).map_or(what, String::as_str);
    let Some(text) = text.strip_prefix(SIF_SCHEME) else { return Ok(None) };
    reference(context, text).map(Some)
}

/// WHAT as a reference without the scheme of a SIF, for those who ask only where it is.
pub fn without_scheme(context: &Context, what: &str) -> String {
    let named = context.settings().images.get(what).filter(|text| text.starts_with(SIF_SCHEME));
    let text = named.map_or(what, String::as_str);
    text.strip_prefix(SIF_SCHEME).unwrap_or(text).to_owned()
}

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

/// The name of a SIF at a hub, when WHAT is one, or a name of moorline.toml for one.
///
/// # Errors
/// When what is behind the scheme is no such name.
pub fn hub_name(context: &Context, what: &str) -> Result<Option<HubName>, Report> {
    let text = context.settings().images.get(what).map_or(what, String::as_str);
    if !HubName::is_meant(text) {
        return Ok(None);
    }
    let name = text.parse::<HubName>();
    name.map(Some).map_err(|error| CliError::usage(output::clean(&error.to_string())).into())
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

/// What CI built, when WHAT is a name that stands for that.
pub fn built(context: &Context, what: &str) -> Option<FromGitlab> {
    context.settings().built.get(what).cloned().map(FromGitlab::from)
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
        let nowhere =
            |what: &str| is_sif(what) || HubName::is_meant(what) || Location::parse(what).is_some();
        if self.what.is_some_and(nowhere) {
            return None;
        }
        if let Some(built) = self.what.and_then(|what| built(context, what)) {
            return built.place(context);
        }
        let what = self.what.map(|what| without_scheme(context, what));
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
        Some(what) if wanted.locked => lock::locked(context, what, platform)?,
        Some(what) => match built(context, what) {
            Some(built) => built.find(context, platform)?.resolved.pin,
            None => resolve(context, &reference(context, what)?, platform)?.pin,
        },
        None if wanted.from.is_named() || context.ci_job()?.is_some() => {
            let pin = wanted.from.find(context, platform)?.resolved.pin;
            if wanted.locked {
                lock::require(&pin)?;
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
    if let Some(file) = wanted.what.filter(|what| is_sif(what)) {
        if wanted.locked {
            return Err(unlocked("a SIF file"));
        }
        return Ok(stage::file(Path::new(file))?);
    }
    if let Some(name) = wanted.what.map(|what| hub_name(context, what)).transpose()?.flatten() {
        if wanted.from.is_named() {
            return Err(CliError::usage("an image was named twice: IMAGE and --project").into());
        }
        let name = match wanted.what.filter(|_| wanted.locked) {
            Some(what) => lock::locked_hub(context, what, &name, platform)?,
            None => name,
        };
        let (pinned, staged) = of_hub(context, &name, Some(platform))?;
        context.voice.say(format!("pinned {pinned}"));
        return Ok(staged.image);
    }
    if let Some(reference) = wanted.what.map(|what| artifact(context, what)).transpose()?.flatten()
    {
        if wanted.from.is_named() {
            return Err(CliError::usage("an image was named twice: IMAGE and --project").into());
        }
        if !wanted.locked {
            return Ok(stored(context, &reference, platform)?.image);
        }
        let what = wanted.what.unwrap_or_default();
        let (pin, sif) = lock::locked_sif(context, what, &reference, platform)?;
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
        let asked = reference(context, what)?;
        if asked.digest.is_some()
            && let Some((pin, staged)) =
                stage::known_digest(&asked, platform, recipe, &context.store()?)?
        {
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
    let (manifest, archived) = stage::archived(location, platform, recipe, &store, &show)?;
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
    context.voice.say(format!("pinned {manifest}"));
    if !staged.known {
        super::cache::keep_to_limit(context, &staged.image);
    }
    warn(&staged);
    Ok(From { staged, manifest, pin: None })
}

fn warn(staged: &Staged) {
    for warning in staged.warnings.iter().take(MAX_WARNINGS) {
        output::warn(output::clean(warning));
    }
    if let Some(more) = staged.warnings.len().checked_sub(MAX_WARNINGS).filter(|more| *more > 0) {
        output::warn(format!("{more} more warnings; --json lists them all"));
    }
}

/// Whether WHAT names a SIF file.
pub fn is_sif(what: &str) -> bool {
    Path::new(what).extension().is_some_and(|e| e.eq_ignore_ascii_case("sif"))
        && (what.contains('/') || Path::new(what).exists())
        && !what.contains("://")
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
    if let Some(known) = stage::known(pin, recipe, &store)? {
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
            super::cache::keep_to_limit(context, &staged.image);
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
    super::cache::keep_to_limit(context, &staged.image);
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

/// Marks the SIF of a job, so that it is not pruned; before an engine is asked. `shared`: other
/// machines read it.
///
/// # Errors
/// When the mark cannot be written, or the SIF was pruned a moment ago.
pub fn mark(context: &Context, job: &JobSpec, shared: bool) -> Result<(), Report> {
    let Some((store, digest)) = in_store(context, &job.image)? else { return Ok(()) };
    if shared {
        room::suits(context, &store, true);
    }
    let dir = context.jobs_dir().join(job.id.to_string());
    if !store.mark(&digest, &job.id, &dir)? {
        return Err(CliError::new(
            Kind::NotFound,
            format!("the image {digest} was pruned just now"),
        )
        .with_hint("the same command makes it again")
        .into());
    }
    Ok(())
}

/// The job has ended: its image may be pruned. When this fails, `prune` finds it out by itself.
pub fn unmark(context: &Context, image: &Image, job: &JobId) {
    if let Ok(Some((store, digest))) = in_store(context, image) {
        let _ = store.unmark(&digest, job);
    }
}

/// As [`unmark`], for a job that no engine has: nothing of its directory is there then.
pub fn unmark_refused(context: &Context, job: &JobSpec) {
    let dir = context.jobs_dir().join(job.id.to_string());
    if std::fs::symlink_metadata(dir).is_err() {
        unmark(context, &job.image, &job.id);
    }
}

/// The own store and the digest of an image that lies in it.
fn in_store(context: &Context, image: &Image) -> Result<Option<(Store, SifDigest)>, Report> {
    let Image::Sif { digest, place, .. } = image else { return Ok(None) };
    let root = std::path::absolute(context.cache_dir()).unwrap_or_default();
    if !place.starts_with(&root) {
        return Ok(None);
    }
    Ok(Some((context.store()?, *digest)))
}
