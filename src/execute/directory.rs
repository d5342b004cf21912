//! The tree of an image that a site publishes unpacked, by the digest of the image's configuration.
//!
//! ```text
//! ROOT/.flat/AB/ABCDEF..                    the tree; ABCDEF.. is the SHA-256 of the configuration
//! ROOT/registry/group/project:TAG           a link to it, which moves with the tag
//! ROOT/registry/group/project:sha256:HEX    the same for an image that was asked for by its manifest's digest
//! ```
//!
//! The tree of `.flat` is taken when it is there: its name is the pin's. Else a link is read, for sites that lay their trees
//! out in another way, and taken only when the name that it leads to is the pin's configuration or manifest. No file
//! of the tree is compared with anything: who publishes it is believed, and the grade is `path-only`.
//!
//! Docker Hub has two names there. Source: DUCC of CernVM-FS, `ducc/lib/image.go` (`CreateFlatOverlay`) and
//! `conversion.go` (`ConvertWishFlat`).

use std::fs;
use std::path::{Path, PathBuf};

use super::ExecuteError;
use super::image::Directory;
use crate::files::ForeignFile;
use crate::job::{Evidence, Grade, Measured};
use crate::oci::{ConfigDigest, DOCKER_HUB, ImageConfig, Sha256Digest};
use crate::pin::Pin;
use crate::worker::CONFIG_FILE;

/// Docker Hub, as its oldest API was called.
const HUB: &str = "registry.hub.docker.com";
/// Larger configurations are none.
const MOST_CONFIG: u64 = 64 << 20;

/// The tree of an image, and what its name proves.
///
/// # Errors
/// [`ExecuteError::Unpublished`] with what there is in each place; when the image's configuration is not beside the plan.
pub(super) fn published(
    roots: &[PathBuf],
    pin: &Pin,
    control: &Path,
) -> Result<(Directory, Evidence), ExecuteError> {
    let config = configuration(control, pin)?;
    let mut why = Vec::new();
    for root in roots {
        match find(root, pin) {
            Ok((path, measured)) => {
                let measured_at = Some(jiff::Timestamp::now());
                let measured = Some(measured);
                let evidence = Evidence { grade: Grade::PathOnly, measured, measured_at };
                return Ok((Directory { path, config }, evidence));
            }
            Err(reason) => why.push(reason),
        }
    }
    let why = if why.is_empty() { "no place is configured".to_owned() } else { why.join("; ") };
    Err(ExecuteError::Unpublished { image: pin.reference().to_string(), why })
}

/// The configuration that the submitter put beside the plan.
fn configuration(control: &Path, pin: &Pin) -> Result<ImageConfig, ExecuteError> {
    let path = control.join(CONFIG_FILE);
    let bytes = ForeignFile::own_or_roots(MOST_CONFIG).bytes(&path);
    let bytes = bytes
        .map_err(|error| ExecuteError::io(format!("reading {}", path.display()))(error.into()))?;
    let other = |why: String| ExecuteError::OtherImage { what: path.display().to_string(), why };
    let found = ConfigDigest::of(&bytes);
    if found != pin.config {
        return Err(other(format!("it is {found}, the job is pinned to {}", pin.config)));
    }
    serde_json::from_slice(&bytes).map_err(|error| other(error.to_string()))
}

/// The tree of one root, and the digest that its name says.
fn find(root: &Path, pin: &Pin) -> Result<(PathBuf, Measured), String> {
    let shown = root.display();
    // the automounter mounts it now
    let root = fs::canonicalize(root).map_err(|error| format!("{shown}: {error}"))?;
    let hex = pin.config.hex();
    let flat = root.join(".flat").join(&hex[..2]).join(&hex);
    // a link would lead to a tree with another name
    if fs::symlink_metadata(&flat).is_ok_and(|meta| meta.is_dir()) {
        return Ok((flat, Measured::Config(pin.config)));
    }
    let mut others = Vec::new();
    for name in names(pin) {
        // the whole way: each link of it may lead out of the root
        let Ok(tree) = fs::canonicalize(root.join(&name)) else { continue };
        let says = tree.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_tree = tree.starts_with(&root) && tree.is_dir();
        match says {
            says if is_tree && says == hex => return Ok((tree, Measured::Config(pin.config))),
            says if is_tree && says == pin.manifest.hex() => {
                return Ok((tree, Measured::Manifest(pin.manifest)));
            }
            says => others.push(format!("{name} leads to {says:?}")),
        }
    }
    Err(if others.is_empty() {
        format!("{shown} has neither .flat/{}/{hex} nor the image's name", &hex[..2])
    } else {
        format!("{shown}: {}, and the pinned configuration is {hex}", others.join(", "))
    })
}

/// The names under which an image may be published.
fn names(pin: &Pin) -> Vec<String> {
    let hub = (pin.registry.as_str() == DOCKER_HUB).then_some(HUB);
    let registries = [pin.registry.as_str()].into_iter().chain(hub);
    let digests = [Some(pin.manifest), pin.index].into_iter().flatten();
    let tags: Vec<String> = pin
        .asked
        .tag
        .iter()
        .map(ToString::to_string)
        .chain(digests.map(|digest| digest.to_string()))
        .collect();
    registries
        .flat_map(|registry| {
            tags.iter().map(move |tag| format!("{registry}/{}:{tag}", pin.repository))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::oci::{Digest, Platform, Reference};

    fn pin(config: &[u8]) -> Pin {
        let asked: Reference = "registry.example/group/project:v1".parse().unwrap();
        Pin {
            registry: asked.registry.clone(),
            repository: asked.repository.clone(),
            index: None,
            manifest: Digest::of(b"manifest"),
            config: ConfigDigest::of(config),
            platform: Platform::host(),
            asked,
            resolved_at: jiff::Timestamp::now(),
            origin: None,
        }
    }

    /// A *simulated* repository of CernVM-FS: a plain directory.
    #[test]
    fn only_the_name_of_the_pin_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("unpacked.example");
        let hex = |config: &[u8]| ConfigDigest::of(config).hex();
        let tree = |hex: &str| root.join(".flat").join(&hex[..2]).join(hex);
        let publish = |hex: &str| {
            fs::create_dir_all(tree(hex).join("bin")).unwrap();
            let link = root.join("registry.example/group/project:v1");
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            let _ = fs::remove_file(&link);
            symlink(Path::new("../../.flat").join(&hex[..2]).join(hex), &link).unwrap();
        };
        let find = |config: &[u8]| find(&root, &pin(config));
        assert!(find(b"one").unwrap_err().contains("unpacked.example: No such file"));
        publish(&hex(b"one"));
        let (found, measured) = find(b"one").unwrap();
        assert!(
            found.ends_with(hex(b"one")) && measured == Measured::Config(ConfigDigest::of(b"one"))
        );
        // the tag moved: the pinned tree is still taken as long as it is there
        publish(&hex(b"two"));
        assert!(find(b"one").unwrap().0.ends_with(hex(b"one")));
        fs::remove_dir_all(tree(&hex(b"one"))).unwrap();
        let why = find(b"one").unwrap_err();
        assert!(why.contains(&hex(b"two")) && why.contains("v1 leads to"), "{why}");
        // by the manifest's digest, in another layout
        let other = root.join("images").join(Digest::of(b"manifest").hex());
        fs::create_dir_all(&other).unwrap();
        let link = root.join("registry.example/group/project:v1");
        fs::remove_file(&link).unwrap();
        symlink(&other, &link).unwrap();
        assert_eq!(find(b"one").unwrap().1, Measured::Manifest(Digest::of(b"manifest")));
        // a tree outside, a link in the place of the tree, and a file
        let outside = dir.path().join(hex(b"one"));
        fs::create_dir(&outside).unwrap();
        fs::remove_file(&link).unwrap();
        symlink(&outside, &link).unwrap();
        symlink(&outside, tree(&hex(b"one"))).unwrap();
        assert!(find(b"one").is_err());
        fs::remove_file(tree(&hex(b"one"))).unwrap();
        fs::write(tree(&hex(b"one")), "").unwrap();
        assert!(find(b"one").is_err());
    }

    #[test]
    fn the_configuration_is_the_pins() {
        let control = tempfile::tempdir().unwrap();
        let bytes = br#"{"architecture":"amd64","os":"linux","config":{"Cmd":["a"]},"rootfs":{"type":"layers","diff_ids":[]}}"#;
        assert!(configuration(control.path(), &pin(bytes)).is_err());
        fs::write(control.path().join(CONFIG_FILE), bytes).unwrap();
        let config = configuration(control.path(), &pin(bytes)).unwrap();
        assert_eq!(config.config.unwrap().cmd, ["a"]);
        let error = configuration(control.path(), &pin(b"other")).unwrap_err();
        assert!(matches!(error, ExecuteError::OtherImage { .. }), "{error}");
    }

    #[test]
    fn docker_hub_has_two_names() {
        let mut pin = pin(b"x");
        pin.registry = DOCKER_HUB.parse().unwrap();
        let names = names(&pin);
        assert!(names.contains(&format!("{HUB}/group/project:v1")), "{names:?}");
        let manifest = pin.manifest;
        assert!(names.contains(&format!("{DOCKER_HUB}/group/project:{manifest}")), "{names:?}");
    }
}
