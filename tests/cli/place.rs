//! A small image in a directory, and a store for it.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use moorline::oci::{DiffId, Digest, Sha256Digest};

use crate::support::{Answer, finish, program};

/// Numbers that follow from a seed (xorshift64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

/// Writes an OCI layout with one layer that holds `size` bytes which do not compress, and a few files.
pub fn layout(dir: &Path, size: usize) {
    layers(dir, &[lower(size)]);
}

/// A tar of that.
pub fn lower(size: usize) -> Vec<u8> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let noise: Vec<u8> = (0..size).map(|_| random.next().to_le_bytes()[0]).collect();
    let mut tar = tar::Builder::new(Vec::new());
    append(
        &mut tar,
        &[
            ("etc/os-release", b"ID=tiny\n"),
            ("usr/bin/tool", b"#!/bin/sh\nexit 0\n"),
            ("noise", &noise),
        ],
    );
    tar.into_inner().unwrap()
}

/// Executable files.
pub fn append(tar: &mut tar::Builder<Vec<u8>>, files: &[(&str, &[u8])]) {
    for (name, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, name, *data).unwrap();
    }
}

/// Writes an OCI layout with these layers.
pub fn layers(dir: &Path, layers: &[Vec<u8>]) {
    let diff_ids: Vec<DiffId> = layers.iter().map(|layer| DiffId::of(layer)).collect();
    let config = serde_json::json!({
        "architecture": moorline::oci::Platform::host().architecture, "os": "linux",
        "config": { "Cmd": ["/usr/bin/tool"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let blob = |media: &str, bytes: &[u8]| {
        fs::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
        serde_json::json!({
            "mediaType": format!("application/vnd.oci.image.{media}"),
            "digest": Digest::of(bytes), "size": bytes.len(),
        })
    };
    let listed: Vec<_> = layers.iter().map(|layer| blob("layer.v1.tar", layer)).collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("config.v1+json", config.to_string().as_bytes()),
        "layers": listed,
    });
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [blob("manifest.v1+json", manifest.to_string().as_bytes())],
    });
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
}

/// A directory that everybody may enter, with an image in `image/` and a home in `home/`.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub env: BTreeMap<String, String>,
}

impl Place {
    pub fn new(size: usize) -> Self {
        let place = Self::empty();
        layout(&place.path("image"), size);
        fs::create_dir(place.path("home")).unwrap();
        place
    }

    /// Without image and home.
    pub fn empty() -> Self {
        let dir = tempfile::Builder::new().prefix("moorline-store-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let home = dir.path().join("home").display().to_string();
        let cache = dir.path().join("cache").display().to_string();
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
        let env = [("PATH", path), ("HOME", home), ("MOORLINE_CACHE", cache)];
        Self { dir, env: env.map(|(name, value)| (name.to_owned(), value)).into() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn cache(&self) -> PathBuf {
        self.env["MOORLINE_CACHE"].clone().into()
    }

    pub fn image(&self) -> String {
        format!("oci:{}", self.path("image").display())
    }

    /// `before... moorline args...`
    pub fn command_behind(&self, before: &[&str], args: &[&str]) -> Command {
        let program = program().to_str().unwrap();
        let words: Vec<&str> =
            before.iter().copied().chain([program]).chain(args.iter().copied()).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env_clear().envs(&self.env).current_dir(self.dir.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn command(&self, args: &[&str]) -> Command {
        self.command_behind(&[], args)
    }

    pub fn run(&self, args: &[&str]) -> Answer {
        finish(self.command(args), args, "")
    }

    /// As another user.
    pub fn run_as(&self, uid: u32, args: &[&str]) -> Answer {
        let user = uid.to_string();
        let before = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--"];
        finish(self.command_behind(&before, args), args, "")
    }

    pub fn convert(&self) -> Answer {
        self.run(&["convert", &self.image()])
    }

    /// Everything in a directory of the store.
    pub fn names(&self, dir: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.cache().join(dir)) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The store is whole, and nothing is left in it of those who were killed.
    #[track_caller]
    pub fn is_clean(&self) {
        self.run(&["cache", "verify"]).exits(0);
        let left = [self.names("tmp"), self.names("leases")];
        assert_eq!(left, [vec![""; 0], vec![]]);
    }
}
