//! The images of the sweep, as OCI layouts.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::place::{append, layers, layout, lower};
use crate::support::have;

/// Some files.
pub fn tiny(dir: &Path) {
    layout(dir, 2000);
}

/// The same, and a layer on top that hides one of them.
pub fn topped(dir: &Path) {
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, &[("usr/bin/.wh.tool", b""), ("usr/bin/other", b"#!/bin/sh\nexit 1\n")]);
    layers(dir, &[lower(2000), tar.into_inner().unwrap()]);
}

const SHELL: &str = "/bin/sh";

/// This machine's shell with its libraries.
pub fn shell(dir: &Path) {
    let listed = Command::new("ldd").arg(SHELL).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let paths: Vec<&str> = text.split_whitespace().filter(|word| word.starts_with('/')).collect();
    let files: Vec<(&str, Vec<u8>)> = [SHELL]
        .into_iter()
        .chain(paths)
        .map(|path| (path.strip_prefix('/').unwrap(), fs::read(path).unwrap()))
        .collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, data)| (*name, &**data)).collect();
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, &files);
    layers(dir, &[tar.into_inner().unwrap()]);
}

/// Whether a job can run here without an installed runtime.
pub fn can_run() -> bool {
    let words = ["--user", "--map-root-user", "--mount", "true"];
    let there = Command::new("unshare").args(words).status().is_ok_and(|status| status.success());
    have("user", "sweep of run and submit", there)
}
