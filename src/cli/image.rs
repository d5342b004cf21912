//! From WHAT a user typed to a staged image, with progress on stderr; shared by the verbs.

use std::num::NonZeroUsize;
use std::path::Path;

use super::context::Context;
use super::output::{self, CliError, Report};
use crate::failure::Kind;
use crate::oci::{Platform, Reference};
use crate::pin::{Codec, Image, Pin, Recipe, Resolved};
use crate::stage::{self, Progress, Staged};

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
    for (scheme, what) in [
        ("oci:", "OCI layouts"),
        ("oci-archive:", "OCI archives"),
        ("docker-archive:", "docker archives"),
        ("oras://", "ORAS artifacts"),
        ("shub://", "Singularity Hub"),
        ("library://", "the Sylabs library"),
        ("lfn:", "grid storage"),
    ] {
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
    Ok(context.block_on(crate::resolve::resolve(&client, reference, platform))??)
}

/// Resolves, fetches and converts what the store lacks.
///
/// # Errors
/// As the steps of the line say.
pub fn stage(
    context: &Context,
    what: &str,
    platform: &Platform,
    recipe: &Recipe,
) -> Result<Image, Report> {
    if is_sif(what) {
        return Ok(stage::file(Path::new(what))?);
    }
    let reference = reference(context, what)?;
    let resolved = resolve(context, &reference, platform)?;
    context.voice.say(format!("pinned {}", resolved.pin.reference()));
    Ok(sif(context, &resolved.pin, recipe, threads())?.image)
}

/// How many threads compress when nobody says it: this machine's cores, at most 16.
pub fn threads() -> NonZeroUsize {
    let most = NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN);
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).min(most)
}

/// Whether WHAT names a SIF file.
pub fn is_sif(what: &str) -> bool {
    Path::new(what).extension().is_some_and(|e| e.eq_ignore_ascii_case("sif"))
        && (what.contains('/') || Path::new(what).exists())
        && !what.contains("://")
}

/// The SIF of a pin, from the store or made now.
///
/// # Errors
/// As the registry, the conversion and the store say.
pub fn sif(
    context: &Context,
    pin: &Pin,
    recipe: &Recipe,
    threads: NonZeroUsize,
) -> Result<Staged, Report> {
    let store = context.store()?;
    if let Some(known) = stage::known(pin, recipe, &store)? {
        return Ok(known);
    }
    let voice = context.voice;
    let mut show = |progress: Progress<'_>| match progress {
        Progress::Layer { number, of, layer } => {
            voice.say(format!("downloading layer {number} of {of} ({})", output::size(layer.size)));
        }
        Progress::Converting { bytes } => {
            voice.say(format!("converting {} of layers", output::size(bytes)));
        }
    };
    let client = context.client()?;
    let documents = context.block_on(stage::fetch(pin, &client, &store, &mut show))??;
    let staged = stage::convert(pin, documents, recipe, threads, &store, &mut show)?;
    for warning in &staged.warnings {
        output::warn(output::clean(warning));
    }
    Ok(staged)
}

/// The image of an earlier job where it is now: the same digest, or an error.
///
/// # Errors
/// When it is gone, or converts to other bytes than it did.
pub fn restage(context: &Context, image: &Image) -> Result<Image, Report> {
    let Image::Sif { pin, digest, recipe, place } = image else { return Ok(image.clone()) };
    if place.is_file() {
        return Ok(image.clone());
    }
    let (Some(pin), Some(recipe)) = (pin, recipe) else {
        return Err(CliError::new(
            Kind::NotFound,
            format!("the job's image {} is gone, and it came from no registry", place.display()),
        )
        .into());
    };
    let staged = sif(context, pin, recipe, threads())?;
    match &staged.image {
        Image::Sif { digest: made, .. } if made != digest => Err(CliError::new(
            Kind::Integrity,
            format!("{} converts to {made} now; the job used {digest}", pin.reference()),
        )
        .into()),
        _ => Ok(staged.image),
    }
}
