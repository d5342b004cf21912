//! A small runnable image of three layers, made of this machine's own files.
//!
//! ```text
//! 2  /opt/analysis/run  /etc/moorline-demo  whiteouts     the only layer that differs by version
//! 1  /bin/sh, cat, ls, id, ...                            copies of the machine's programs
//! 0  program interpreter, shared libraries, links, /etc   at the same absolute paths
//! ```
//!
//! Nothing is downloaded and no container tool is needed: a program's own interpreter lists what the program needs. The
//! same machine gives the same bytes every time.
//!
//! Sources: OCI image specification 1.1 (`layer.md`, `config.md`, `manifest.md`), annotations of
//! `annotations.md`. Not promised: that the image runs on another machine, or that it is safe to
//! share, because it holds files of this one.

mod blob;
mod error;
mod layer;
mod libraries;
mod programs;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::oci::{
    ConfigDigest, ContainerConfig, Descriptor, DiffId, Digest, History, ImageConfig, Manifest,
    Platform, RootFs, Sha256Digest, Tag, media_type,
};
use tree::{Node, Tree};

pub use blob::Blob;
use blob::CREATED;
pub use error::DemoImageError;
pub use programs::Launcher;

/// The image's program.
pub const PROGRAM: &str = "/opt/analysis/run";
/// The file that tells the version.
pub const VERSION_FILE: &str = "/etc/moorline-demo";

/// An image, ready to be put into a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciImage {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The digest of the manifest.
    pub manifest_digest: Digest,
    /// The manifest's media type.
    pub media_type: &'static str,
    /// The configuration's bytes.
    pub config: Vec<u8>,
    /// The digest of the configuration.
    pub config_digest: ConfigDigest,
    /// The layers, bottom first.
    pub layers: Vec<Blob>,
    /// How its shell is started from an unpacked copy.
    pub launcher: Launcher,
}

/// The two lower layers, which all versions share.
#[derive(Clone, Debug)]
pub struct LowerLayers {
    layers: Vec<(Blob, DiffId)>,
    launcher: Launcher,
}

/// Makes the image of one version.
///
/// `search` names directories, beside `/usr/bin` and `/bin`, in which tools may be found: the
/// caller's `PATH`, for machines that keep their programs elsewhere.
///
/// # Errors
/// When the machine's `/bin/sh` or one of its libraries cannot be copied.
pub fn make(version: &Tag, search: &[PathBuf]) -> Result<OciImage, DemoImageError> {
    LowerLayers::make(search)?.image(version)
}

impl LowerLayers {
    /// Gathers the machine's files; `search` as in [`make`].
    ///
    /// # Errors
    /// As [`make`].
    pub fn make(search: &[PathBuf]) -> Result<Self, DemoImageError> {
        let mut tree = Tree::new(Path::new("/"));
        for (path, node) in made() {
            tree.put(path, node)?;
        }
        let launcher = programs::gather(&mut tree, search)?;
        let layers = [layer::pack(tree.layer(0))?, layer::pack(tree.layer(1))?];
        Ok(Self { layers: layers.into(), launcher })
    }

    /// The image of one version: these layers and one of its own.
    ///
    /// # Errors
    /// When memory cannot be written, which does not happen.
    pub fn image(&self, version: &Tag) -> Result<OciImage, DemoImageError> {
        let top = top(version);
        let top = layer::pack(top.iter().map(|(path, node)| (path.as_path(), node)))?;
        let (layers, diff_ids): (Vec<Blob>, Vec<DiffId>) =
            self.layers.iter().cloned().chain([top]).unzip();
        let config = serde_json::to_vec(&config(version, diff_ids))?;
        let config_digest = ConfigDigest::of(&config);
        let manifest = serde_json::to_vec(&Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.into()),
            config: Descriptor {
                media_type: media_type::OCI_CONFIG.into(),
                digest: config_digest.into(),
                size: config.len() as u64,
                annotations: BTreeMap::new(),
            },
            layers: layers.iter().map(|blob| blob.descriptor.clone()).collect(),
            annotations: BTreeMap::new(),
        })?;
        Ok(OciImage {
            manifest_digest: Digest::of(&manifest),
            manifest,
            media_type: media_type::OCI_MANIFEST,
            config,
            config_digest,
            layers,
            launcher: self.launcher.clone(),
        })
    }
}

fn text(mode: u32, text: &str) -> Node {
    Node::File { mode, bytes: text.as_bytes().to_vec() }
}

/// What layer 0 holds beside the machine's files.
fn made() -> Vec<(&'static str, Node)> {
    let directory = |mode| Node::Directory { mode };
    vec![
        ("/dev", directory(0o755)),
        ("/proc", directory(0o555)),
        ("/root", directory(0o700)),
        ("/sys", directory(0o555)),
        ("/tmp", directory(0o1777)),
        ("/var/tmp", directory(0o1777)),
        ("/usr/bin", directory(0o755)),
        (
            "/etc/passwd",
            text(
                0o644,
                "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
            ),
        ),
        ("/etc/group", text(0o644, "root:x:0:\nnogroup:x:65534:\n")),
        // without it the C library may look for name services that are not in the image
        ("/etc/nsswitch.conf", text(0o644, "passwd: files\ngroup: files\n")),
        ("/opt/analysis/placeholder", text(0o644, "the top layer deletes this file\n")),
        ("/opt/analysis/data/old", text(0o644, "the top layer empties this directory\n")),
    ]
}

/// The top layer. A whiteout removes a file of layer 0, an opaque one a directory's content.
fn top(version: &Tag) -> Vec<(PathBuf, Node)> {
    let directory = Node::Directory { mode: 0o755 };
    let entries = [
        ("/etc", directory.clone()),
        (VERSION_FILE, text(0o644, &format!("{version}\n"))),
        ("/opt", directory.clone()),
        ("/opt/analysis", directory.clone()),
        ("/opt/analysis/.wh.placeholder", text(0o644, "")),
        ("/opt/analysis/data", directory),
        ("/opt/analysis/data/.wh..wh..opq", text(0o644, "")),
        ("/opt/analysis/data/new", text(0o644, &format!("data of {version}\n"))),
        (PROGRAM, text(0o755, include_str!("image/run.sh"))),
    ];
    entries.into_iter().map(|(path, node)| (path.into(), node)).collect()
}

fn config(version: &Tag, diff_ids: Vec<DiffId>) -> ImageConfig {
    // stands for the commit that a pipeline would have built
    let commit = Digest::of(version.as_str().as_bytes()).hex()[..40].to_owned();
    let label =
        |name: &str, value: &str| (format!("org.opencontainers.image.{name}"), value.into());
    let history = |by: &str| History { created_by: by.into(), empty_layer: false };
    ImageConfig {
        created: Some(CREATED.into()),
        platform: Platform::host(),
        config: Some(ContainerConfig {
            env: vec!["PATH=/opt/analysis:/usr/bin:/bin".into(), "MOORLINE_DEMO=1".into()],
            cmd: vec![PROGRAM.into()],
            working_dir: "/".into(),
            labels: BTreeMap::from([
                label("title", "Moorline demo analysis"),
                label("version", version.as_str()),
                label("revision", &commit),
                label("source", "https://gitlab.example/demo/analysis"),
            ]),
            ..ContainerConfig::default()
        }),
        rootfs: RootFs { kind: "layers".into(), diff_ids },
        history: vec![
            history("moorline demo: loader, libraries, links"),
            history("moorline demo: programs"),
            history("moorline demo: analysis"),
        ],
    }
}
