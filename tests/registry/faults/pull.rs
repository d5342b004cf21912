//! One pull through the proxy, and how it is judged.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use moorline::failure::{Failure, Kind};
use moorline::layer::Limits;
use moorline::oci::{Digest, Platform, Sha256Digest, SifDigest, media_type};
use moorline::pin::{Codec, Image, Pin};
use moorline::registry::{Client, Options, Patience};
use moorline::resolve::{ResolveError, resolve};
use moorline::stage::convert::recipe;
use moorline::stage::{How, StageError, convert, fetch};
use moorline::store::Store;
use serde_json::json;

use super::proxy::Proxy;
use super::schedule::Schedule;
use crate::common::{
    PROJECT, SECRET, USER, amd64, candidate, index, offering, reference, registry,
};

/// What a right pull gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    pub manifest: Digest,
    pub sif: SifDigest,
}

/// An image of three layers, below an index with another platform.
pub struct Fixture {
    pub blobs: Vec<Vec<u8>>,
    /// Each with its media type; the index is the last.
    pub manifests: Vec<(&'static str, Vec<u8>)>,
}

impl Fixture {
    pub fn make() -> Self {
        let mut blobs: Vec<Vec<u8>> = [700, 70_000, 600_000].into_iter().map(layer).collect();
        let layers: Vec<_> =
            blobs.iter().map(|bytes| descriptor(media_type::OCI_LAYER, bytes)).collect();
        let diff_ids: Vec<_> = blobs.iter().map(|bytes| Digest::of(bytes).to_string()).collect();
        let mut manifests = Vec::new();
        for platform in ["linux/amd64", "linux/arm64"] {
            let Platform { os, architecture, .. } = platform.parse().unwrap();
            let config = serde_json::to_vec(&json!({
                "created": "2026-01-02T03:04:05Z", "os": os, "architecture": architecture,
                "rootfs": { "type": "layers", "diff_ids": diff_ids },
            }))
            .unwrap();
            let manifest = json!({
                "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
                "config": descriptor(media_type::OCI_CONFIG, &config), "layers": layers,
            });
            blobs.push(config);
            manifests.push((media_type::OCI_MANIFEST, serde_json::to_vec(&manifest).unwrap()));
        }
        let digests: Vec<_> = manifests.iter().map(|(_, bytes)| Digest::of(bytes)).collect();
        let top = index(&[
            (&digests[0], manifests[0].1.len(), "linux/amd64"),
            (&digests[1], manifests[1].1.len(), "linux/arm64"),
        ]);
        manifests.push((media_type::OCI_INDEX, top));
        Self { blobs, manifests }
    }

    /// As an OCI image layout with the name `v1`.
    pub fn write_layout(&self, folder: &Path) {
        let place = folder.join("blobs/sha256");
        fs::create_dir_all(&place).unwrap();
        for bytes in self.blobs.iter().chain(self.manifests.iter().map(|(_, bytes)| bytes)) {
            fs::write(place.join(Digest::of(bytes).hex()), bytes).unwrap();
        }
        let (kind, bytes) = self.manifests.last().unwrap();
        let mut top = descriptor(kind, bytes);
        top["annotations"] = json!({ "org.opencontainers.image.ref.name": "v1" });
        let top = json!({ "schemaVersion": 2, "manifests": [top] });
        fs::write(folder.join("index.json"), top.to_string()).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}

fn descriptor(kind: &str, bytes: &[u8]) -> serde_json::Value {
    json!({ "mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len() })
}

/// A tar with one file of bytes that do not repeat.
fn layer(size: usize) -> Vec<u8> {
    let mut state = u32::try_from(size).unwrap();
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let content: Vec<u8> = std::iter::repeat_with(&mut next).take(size).collect();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, format!("file-{size}"), content.as_slice()).unwrap();
    tar.into_inner().unwrap()
}

/// Why a pull did not end.
#[derive(Debug)]
pub struct Failed {
    pub kind: Kind,
    pub text: String,
    pub hint: Option<String>,
}

impl Failed {
    fn of(error: &dyn Failure) -> Self {
        Self { kind: error.kind(), text: error.to_string(), hint: error.hint() }
    }
}

impl From<ResolveError> for Failed {
    fn from(error: ResolveError) -> Self {
        Self::of(&error)
    }
}

impl From<StageError> for Failed {
    fn from(error: StageError) -> Self {
        Self::of(&error)
    }
}

/// From a tag to a SIF in the store, as a program run does it: with a client of its own.
pub async fn pull(proxy: &Proxy, store: &Store) -> Result<Right, Failed> {
    let patience = Patience {
        connect: Duration::from_secs(10),
        stall: Duration::from_millis(400),
        attempts: 6,
        first_pause: Duration::from_millis(1),
        pauses: Duration::from_millis(500),
        ..Patience::default()
    };
    let started_here = vec![registry(proxy.address)];
    let offered = vec![candidate(USER, SECRET, &[])];
    let client =
        Client::new(Options { patience, started_here, ..offering(offered) }).expect("a client");
    let asked = reference(proxy.address, &format!("{PROJECT}:v1"));
    let pin: Pin = resolve(&client, &asked, &amd64()).await?.pin;
    let show: moorline::stage::Show = Arc::new(|_| {});
    let (documents, supply) = fetch(&pin, &client, store, Arc::clone(&show)).await?;
    let recipe = recipe(Codec::Zstd, 1, 131_072);
    let how =
        How { recipe: &recipe, threads: std::num::NonZeroUsize::MIN, limits: Limits::default() };
    // it waits for layers that this runtime's other threads download
    let staged = tokio::task::block_in_place(|| {
        let made = convert(&pin, documents, &supply, how, store, &show);
        drop(supply);
        made
    })?;
    match staged.image {
        Image::Sif { digest, .. } => Ok(Right { manifest: pin.manifest, sif: digest }),
        other => panic!("{other:?} is not a SIF"),
    }
}

/// Every file of a store that does not have the digest in its name, or should not be there.
pub fn wrong_files(store: &Path) -> Vec<PathBuf> {
    let files = |folder: &str| -> Vec<PathBuf> {
        fs::read_dir(store.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let mut wrong = files("tmp");
    for file in files("blobs/sha256").into_iter().chain(files("sifs/sha256")) {
        let name = file.file_name().unwrap().to_string_lossy();
        let digest = Digest::of(&fs::read(&file).unwrap()).hex();
        if name.trim_end_matches(".sif") != digest {
            wrong.push(file);
        }
    }
    wrong
}

/// One schedule: `Err` says what is wrong with how the pull ended.
pub async fn judge(proxy: &Proxy, schedule: Schedule, right: &Right) -> Result<bool, String> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let store = Store::open(&root).unwrap();
    let ended = pull(proxy, &store).await;
    let wrong = wrong_files(&root);
    if !wrong.is_empty() {
        return Err(format!("wrong files in the store: {wrong:?}, {ended:?}"));
    }
    let done = proxy.done();
    let passed = match ended {
        Ok(got) if got == *right => true,
        Ok(got) => return Err(format!("another image: {got:?}")),
        Err(error) if schedule.must_pass() => {
            return Err(format!("it should have gone through: {error:?}"));
        }
        Err(error) => {
            if !done.iter().any(|d| d.fault.explains(d.class, error.kind)) {
                return Err(format!("nothing that happened gives {error:?}"));
            }
            if !error.text.contains(&proxy.address.to_string()) && !error.text.contains("sha256:") {
                return Err(format!("neither host nor digest in {error:?}"));
            }
            if error.hint.is_none() {
                return Err(format!("it does not say what to try: {error:?}"));
            }
            if error.text.contains(SECRET) {
                return Err(format!("the secret in {error:?}"));
            }
            false
        }
    };
    // whatever happened left nothing behind that hinders the next one
    proxy.set(Schedule::clear());
    match pull(proxy, &store).await {
        Ok(got) if got == *right && wrong_files(&root).is_empty() => Ok(passed),
        other => Err(format!("afterwards, without faults: {other:?}")),
    }
}
