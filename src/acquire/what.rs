//! What WHAT means, as a user types it. It is parsed once, without asking a server.
//!
//! ```text
//! NAME                 of moorline.toml: what CI built, or one of the forms below but a path
//! ./FILE.sif           a SIF file
//! oci:DIR  oci-archive:FILE  docker-archive:FILE     an image in a file
//! shub://...           a SIF at a hub
//! oras://REFERENCE     a SIF in a registry
//! REFERENCE            an image in a registry
//! ```

use std::path::{Path, PathBuf};

use super::build::Build;
use super::error::AcquireError;
use super::names::Names;
use super::surroundings::Surroundings;
use crate::archive::Location;
use crate::failure::Report;
use crate::lock::{Named, SIF_SCHEME};
use crate::oci::{DOCKER_HUB, HubName, Reference, Registry, shown};
use crate::text::one_line;

/// The kinds of places that an image can be named by.
#[derive(Clone, Debug)]
pub enum What {
    /// A SIF file.
    File(PathBuf),
    /// An image in a file or directory.
    Archive(Location),
    /// An image in a registry.
    Reference(Reference),
    /// A SIF in a registry.
    Oras(Reference),
    /// A SIF at a hub.
    Hub(HubName),
    /// What CI built.
    Built(Build),
}

impl What {
    /// Reads a word.
    ///
    /// # Errors
    /// When it has no meaning, or one that is not built yet.
    pub fn parse(here: &dyn Names, word: &str) -> Result<Self, Report> {
        if let Some(built) = here.built().get(word) {
            return Ok(Self::Built(Build::from(built.clone())));
        }
        let whole = here.whole_digest(word)?;
        let word = whole.as_deref().unwrap_or(word);
        let alias = here.images().get(word);
        // a path is not taken from moorline.toml: that is somebody else's input
        if alias.is_none() {
            if is_sif(word) {
                return Ok(Self::File(word.into()));
            }
            let path = Path::new(word);
            if path.extension().is_some_and(|kind| kind == "toml") && path.is_file() {
                return Err(AcquireError::JobFile(one_line(word)).into());
            }
            if let Some(location) = Location::parse(word) {
                return Ok(Self::Archive(location));
            }
        }
        let text = alias.map_or(word, String::as_str);
        if HubName::is_meant(text) {
            let name = text.parse::<HubName>();
            return Ok(Self::Hub(name.map_err(|e| AcquireError::HubName(e.to_string()))?));
        }
        if let Some(rest) = text.strip_prefix(SIF_SCHEME) {
            return Ok(Self::Oras(self::parse(here, rest)?));
        }
        if alias.is_none() {
            here.no_lost_name(word)?;
        }
        Ok(Self::Reference(self::parse(here, text)?))
    }

    /// The image in a registry that it is.
    ///
    /// # Errors
    /// When it is something else; `word` is how that was typed.
    pub fn into_reference(self, word: &str) -> Result<Reference, AcquireError> {
        let what = one_line(&shown(word));
        match self {
            Self::Reference(reference) => Ok(reference),
            Self::Built(build) => Err(AcquireError::Built { what, words: build.words() }),
            Self::Archive(_) => Err(AcquireError::InNoRegistry { what }),
            Self::File(_) | Self::Oras(_) | Self::Hub(_) => Err(AcquireError::Sif { what }),
        }
    }

    /// As a lock file names it; `None` for files.
    pub fn named(self) -> Option<Named> {
        match self {
            Self::Reference(reference) => Some(Named::Reference(reference)),
            Self::Oras(reference) => Some(Named::Sif(reference)),
            Self::Hub(name) => Some(Named::Hub(name)),
            Self::Built(build) => Some(Named::Built(build.built)),
            Self::File(_) | Self::Archive(_) => None,
        }
    }

    /// The registry that is asked, as far as that is known without asking anybody.
    pub fn registry(&self, here: &dyn Surroundings) -> Option<Registry> {
        match self {
            Self::Reference(reference) | Self::Oras(reference) => Some(reference.registry.clone()),
            Self::Built(build) => build.registry(here),
            Self::File(_) | Self::Archive(_) | Self::Hub(_) => None,
        }
    }
}

/// What a verb was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it is; `None` when nothing was named.
    pub what: Option<What>,
    /// The word, where it was one.
    pub word: Option<String>,
    /// Only what `moorline.lock` holds.
    pub locked: bool,
}

impl Asked {
    /// Reads WHAT, or the flags in its place. Inside GitLab CI nothing needs to be named.
    ///
    /// # Errors
    /// When both were given, and as [`What::parse`].
    pub fn read(
        here: &dyn Surroundings,
        word: Option<&str>,
        build: Build,
        locked: bool,
    ) -> Result<Self, Report> {
        let what = match word {
            Some(_) if build.is_named() => return Err(AcquireError::NamedTwice.into()),
            Some(word) => Some(What::parse(here, word)?),
            None if build.is_named() || here.ci_job()?.is_some() => Some(What::Built(build)),
            None => None,
        };
        Ok(Self { what, word: word.map(str::to_owned), locked })
    }

    /// What was named.
    ///
    /// # Errors
    /// When nothing was.
    pub fn what(&self) -> Result<&What, AcquireError> {
        self.what.as_ref().ok_or(AcquireError::NotNamed)
    }

    /// The name of moorline.toml that was typed.
    pub(super) fn name<'a>(&'a self, here: &dyn Names) -> Option<&'a str> {
        let word = self.word.as_deref()?;
        (here.images().contains_key(word) || here.built().contains_key(word)).then_some(word)
    }
}

/// The image in a registry that a word means.
///
/// # Errors
/// When it is something else, and as [`What::parse`].
pub fn reference(here: &dyn Names, word: &str) -> Result<Reference, Report> {
    Ok(What::parse(here, word)?.into_reference(word)?)
}

fn parse(here: &dyn Names, text: &str) -> Result<Reference, AcquireError> {
    for scheme in ["oci:", "oci-archive:", "docker-archive:"] {
        if text.starts_with(scheme) {
            return Err(AcquireError::InNoRegistry { what: one_line(&shown(text)) });
        }
    }
    for (scheme, kind) in [("library://", "the Sylabs library"), ("lfn:", "grid storage")] {
        if text.starts_with(scheme) {
            return Err(AcquireError::NotYet { what: one_line(&shown(text)), kind });
        }
    }
    let reference = Reference::parse(text, here.default_registry())
        .map_err(|why| AcquireError::reference(&shown(text), why))?;
    stays_private(here, text, &reference)?;
    Ok(reference)
}

/// Whose Docker Hub a name is not: it has no names of three parts, and in a clone of a GitLab project one of two
/// parts is rather a project there. To ask for it would tell Docker Hub the project's name, and could run an image
/// that a stranger put there.
fn stays_private(here: &dyn Names, text: &str, reference: &Reference) -> Result<(), AcquireError> {
    if reference.registry.as_str() != DOCKER_HUB {
        return Ok(());
    }
    let (bare, scheme) = match text.split_once("://") {
        Some((_, bare)) => (bare, true),
        None => (text, false),
    };
    let name = bare.split('@').next().unwrap_or_default();
    let parts: Vec<&str> = name.split('/').collect();
    if parts.len() > 1 && parts[0].contains(['.', ':']) {
        return Ok(()); // docker.io/...: it was said
    }
    let what = one_line(&shown(bare));
    match parts.len() {
        0 | 1 => Ok(()),
        2 => match here.gitlab_clone().filter(|_| !scheme && here.is_hub_by_default()) {
            Some(host) => Err(AcquireError::InClone { what, host: one_line(&host) }),
            None => Ok(()),
        },
        parts => Err(AcquireError::NotOfHub { what, parts }),
    }
}

/// Whether a word names a SIF file.
fn is_sif(word: &str) -> bool {
    Path::new(word).extension().is_some_and(|e| e.eq_ignore_ascii_case("sif"))
        && !word.contains("://")
        && !word.starts_with("lfn:")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::pin::Built;

    #[derive(Default)]
    struct Configured {
        images: BTreeMap<String, String>,
        built: BTreeMap<String, Built>,
        registry: Option<&'static str>,
        clone: Option<&'static str>,
    }

    impl Configured {
        fn of_example() -> Self {
            Self { registry: Some("registry.example"), ..Self::default() }
        }
    }

    impl Names for Configured {
        fn images(&self) -> &BTreeMap<String, String> {
            &self.images
        }
        fn built(&self) -> &BTreeMap<String, Built> {
            &self.built
        }
        fn default_registry(&self) -> &'static str {
            self.registry.unwrap_or(DOCKER_HUB)
        }
        fn no_lost_name(&self, _: &str) -> Result<(), Report> {
            Ok(())
        }
        fn is_hub_by_default(&self) -> bool {
            self.registry.is_none()
        }
        fn gitlab_clone(&self) -> Option<String> {
            self.clone.map(str::to_owned)
        }
        fn whole_digest(&self, _: &str) -> Result<Option<String>, Report> {
            Ok(None)
        }
    }

    /// The kind and what is in it, or the error.
    fn said(here: &Configured, word: &str) -> String {
        match What::parse(here, word) {
            Ok(What::File(file)) => format!("file {}", file.display()),
            Ok(What::Archive(_)) => "archive".into(),
            Ok(What::Reference(reference)) => format!("reference {reference}"),
            Ok(What::Oras(reference)) => format!("oras {reference}"),
            Ok(What::Hub(name)) => format!("hub {name}"),
            Ok(What::Built(build)) => format!("built {}", build.words()),
            Err(Report(error)) => error.to_string(),
        }
    }

    #[test]
    fn each_form_has_one_meaning() {
        let mut here = Configured::of_example();
        for (name, text) in
            [("sim", "group/sim:v1"), ("sif", "oras://group/sif:v1"), ("path", "oci:/home/other")]
        {
            here.images.insert(name.into(), text.into());
        }
        let nightly = Built { git_ref: Some("main".into()), ..Built::default() };
        here.built.insert("nightly".into(), nightly);
        for (word, meaning) in [
            ("./a.sif", "file ./a.sif"),
            ("/data/A.SIF", "file /data/A.SIF"),
            // whether it is there or not
            ("nosuch.sif", "file nosuch.sif"),
            ("oci:dir", "archive"),
            ("docker-archive:x.tar", "archive"),
            ("shub://group/name", "hub shub://group/name:latest"),
            ("oras://group/a.sif:v1", "oras registry.example/group/a.sif:v1"),
            ("group/a:v1", "reference registry.example/group/a:v1"),
            ("docker://other.example/a", "reference other.example/a"),
            ("sim", "reference registry.example/group/sim:v1"),
            ("sif", "oras registry.example/group/sif:v1"),
            ("nightly", "built --ref main"),
            // somebody else's input names no path
            ("path", "oci:/home/other: this image is not in a registry"),
            ("library://a/b", "library://a/b: the Sylabs library cannot be read yet"),
            ("lfn:/grid/a.sif", "lfn:/grid/a.sif: grid storage cannot be read yet"),
            ("lfn:/grid/a", "lfn:/grid/a: grid storage cannot be read yet"),
        ] {
            assert_eq!(said(&here, word), meaning, "{word}");
        }
    }

    #[test]
    fn no_private_name_reaches_docker_hub() {
        let outside = Configured::default();
        let inside = Configured { clone: Some("gitlab.example"), ..Configured::default() };
        let hub = Configured {
            registry: Some(DOCKER_HUB),
            clone: Some("gitlab.example"),
            ..Configured::default()
        };
        for here in [&outside, &inside, &hub] {
            for word in ["group/sub/project:v1", "docker://group/sub/project"] {
                assert!(
                    said(here, word).contains("no names of 3 parts"),
                    "{word}: {}",
                    said(here, word)
                );
            }
            // said in so many words
            for word in
                ["docker.io/group/project", "docker://group/project", "fedora", "r.example/a/b/c"]
            {
                assert!(said(here, word).starts_with("reference "), "{word}: {}", said(here, word));
            }
        }
        assert!(said(&inside, "group/project:v1").contains("clone of gitlab.example"));
        for here in [&outside, &hub] {
            assert_eq!(said(here, "group/project:v1"), "reference docker.io/group/project:v1");
        }
    }

    #[test]
    fn what_is_no_image_of_a_registry_is_refused_by_kind() {
        let here = Configured::of_example();
        for (word, said) in [
            ("./a.sif", "this is a SIF, not a container image"),
            ("oci:dir", "this image is not in a registry"),
            ("oras://g/a:v1", "this is a SIF, not a container image"),
        ] {
            let Err(Report(error)) = reference(&here, word) else { panic!("{word}") };
            assert_eq!(error.to_string(), format!("{word}: {said}"));
        }
    }
}
