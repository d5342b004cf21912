//! What WHAT means, as a user types it: a name of moorline.toml, a reference, a SIF in a registry or at a
//! hub, a SIF file. Nobody is asked.

use std::path::Path;

use super::context::Context;
use super::from_gitlab::FromGitlab;
use super::output::{self, CliError, Report};
use crate::lock::SIF_SCHEME;
use crate::oci::{HubName, ParseReferenceError, Reference, shown};

const FORM: &str = "write registry/group/project:tag, or group/project:tag with registry = \"...\" in the configuration";
const LOG_IN: &str =
    "write registry/group/project:tag; moorline login REGISTRY --username NAME keeps a credential";

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
        let message = format!("{}: this image is in no registry", output::cell(&shown(text)));
        return Err(CliError::usage(message)
            .with_hint("convert, run and submit take it on their command line, with a path")
            .into());
    }
    if text.starts_with(SIF_SCHEME) || HubName::is_meant(text) {
        let message = format!("{}: this is a SIF, and not an image", output::cell(&shown(text)));
        return Err(CliError::usage(message)
            .with_hint("resolve, run and submit take it on their command line")
            .into());
    }
    for (scheme, what) in [("library://", "the Sylabs library"), ("lfn:", "grid storage")] {
        if text.starts_with(scheme) {
            return Err(CliError::usage(format!(
                "{}: {what} cannot be read yet",
                output::cell(&shown(text))
            ))
            .with_hint("push the image to a registry and name it there")
            .into());
        }
    }
    if !context.settings().images.contains_key(what) {
        context.no_lost_name(what)?;
    }
    Reference::parse(text, context.default_registry()).map_err(|error| {
        let secret = matches!(error, ParseReferenceError::User);
        let hint = if secret { LOG_IN } else { FORM };
        CliError::usage(format!("{}: {error}", output::cell(&shown(text)))).with_hint(hint).into()
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
    name.map(Some).map_err(|error| CliError::usage(error.to_string()).into())
}

/// What CI built, when WHAT is a name that stands for that.
pub fn built(context: &Context, what: &str) -> Option<FromGitlab> {
    context.settings().built.get(what).cloned().map(FromGitlab::from)
}

/// Whether WHAT names a SIF file.
pub fn is_sif(what: &str) -> bool {
    Path::new(what).extension().is_some_and(|e| e.eq_ignore_ascii_case("sif"))
        && (what.contains('/') || Path::new(what).exists())
        && !what.contains("://")
}
