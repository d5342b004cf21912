//! The demo's image: what it holds, and that it runs from an unpacked copy with its own loader.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use moorline::demo::image::{LowerLayers, OciImage, PROGRAM, make};
use moorline::oci::{
    ConfigDigest, DiffId, Digest, Document, ImageConfig, Manifest, Platform, Sha256Digest, Tag,
};

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn search() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
}

fn image(version: &str) -> OciImage {
    make(&tag(version), &search()).unwrap()
}

fn config(image: &OciImage) -> ImageConfig {
    serde_json::from_slice(&image.config).unwrap()
}

fn manifest(image: &OciImage) -> Manifest {
    match Document::parse(&image.manifest, Some(image.media_type)).unwrap() {
        Document::Manifest(manifest) => manifest,
        Document::Index(_) => panic!("the demo makes one platform's image"),
    }
}

fn plain(gzip: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(gzip).read_to_end(&mut tar).unwrap();
    tar
}

/// Names in a layer, without the slash behind directories.
fn names(gzip: &[u8]) -> Vec<String> {
    let tar = plain(gzip);
    let mut archive = tar::Archive::new(tar.as_slice());
    let name = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let path = entry.unwrap().path().unwrap().into_owned();
        path.to_str().unwrap().trim_end_matches('/').to_owned()
    };
    archive.entries().unwrap().map(name).collect()
}

/// Unpacks with the machine's `tar`, layer by layer, and follows whiteouts by hand.
fn unpack(image: &OciImage) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for layer in &image.layers {
        for name in names(&layer.bytes) {
            let path = root.path().join(&name);
            let parent = path.parent().unwrap();
            match path.file_name().and_then(|n| n.to_str()).unwrap().strip_prefix(".wh.") {
                Some(".wh..opq") => {
                    std::fs::remove_dir_all(parent).unwrap();
                    std::fs::create_dir(parent).unwrap();
                }
                Some(hidden) => std::fs::remove_file(parent.join(hidden)).unwrap(),
                None => {}
            }
        }
        // no flag that only one tar knows: busybox has one as well
        let mut tar = Command::new("tar")
            .args(["-x", "-p", "-f", "-", "-C"])
            .arg(root.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut tar.stdin.take().unwrap(), &plain(&layer.bytes)).unwrap();
        assert!(tar.wait().unwrap().success());
        for name in names(&layer.bytes).iter().filter(|name| name.contains("/.wh.")) {
            std::fs::remove_file(root.path().join(name)).unwrap();
        }
    }
    root
}

/// Runs the unpacked shell with nothing of the caller's environment.
fn run(image: &OciImage, root: &Path, arguments: &[&str]) -> Output {
    let argv = image.launcher.argv(root);
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).args(arguments).env_clear().env("PATH", "/usr/bin:/bin");
    command.output().unwrap()
}

fn stdout(output: &Output) -> &str {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn its_own_loader_runs_its_shell_and_program() {
    let image = image("v1");
    let root = unpack(&image);
    assert_eq!(stdout(&run(&image, root.path(), &["-c", "echo ok"])), "ok\n");

    let program = format!("{}{PROGRAM}", root.path().display());
    let output = run(&image, root.path(), &[&program, "a", "b"]);
    assert!(stdout(&output).starts_with("analysis: v1\narguments: a b\n"), "{output:?}");

    // it is the copy that runs: with its libraries emptied, the machine's do not step in
    let loader = image.launcher.interpreter.clone().unwrap_or_default();
    let mut emptied = 0;
    for directory in &image.launcher.library_path {
        let inside = root.path().join(directory.strip_prefix("/").unwrap());
        for entry in std::fs::read_dir(inside).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && !path.ends_with(loader.file_name().unwrap()) {
                std::fs::write(path, "").unwrap();
                emptied += 1;
            }
        }
    }
    let works = run(&image, root.path(), &["-c", "echo ok"]).status.success();
    assert_eq!(works, emptied == 0, "{emptied} libraries were emptied");
}

#[test]
fn whiteouts_and_modes() {
    use std::os::unix::fs::PermissionsExt;
    let image = image("v1");
    let root = unpack(&image);
    let listing = |path: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(root.path().join(path)).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(listing("opt/analysis"), BTreeSet::from(["data".into(), "run".into()]));
    assert_eq!(listing("opt/analysis/data"), BTreeSet::from(["new".into()]));
    let mode = |path: &str| {
        std::fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode("tmp"), 0o1777);
    assert_eq!(mode("opt/analysis/run"), 0o755);
    assert_eq!(mode("etc/passwd"), 0o644);
}

#[test]
fn digests_sizes_and_platform() {
    let image = image("v1");
    assert_eq!(image.manifest_digest, Digest::of(&image.manifest));
    assert_eq!(image.config_digest, ConfigDigest::of(&image.config));
    let manifest = manifest(&image);
    assert_eq!(manifest.config.digest, image.config_digest.into());
    assert_eq!(manifest.config.size, image.config.len() as u64);
    let config = config(&image);
    assert_eq!(config.platform, Platform::host());
    assert_eq!(config.container().cmd, [PROGRAM]);
    assert_eq!(image.layers.len(), 3);
    assert_eq!(config.rootfs.diff_ids.len(), 3);
    for (i, layer) in image.layers.iter().enumerate() {
        assert_eq!(manifest.layers[i], layer.descriptor);
        assert_eq!(layer.descriptor.digest, Digest::of(&layer.bytes));
        assert_eq!(layer.descriptor.size, layer.bytes.len() as u64);
        assert_eq!(config.rootfs.diff_ids[i], DiffId::of(&plain(&layer.bytes)));
    }
    let bytes: u64 = manifest.layers.iter().map(|layer| layer.size).sum();
    assert!(bytes < 32 << 20, "{bytes} bytes are too many for a demo");
}

#[test]
fn the_same_bytes_every_time_and_versions_differ_in_the_top_only() {
    let (one, again) = (image("v1"), image("v1"));
    assert_eq!(one, again);
    let lower = LowerLayers::make(&search()).unwrap();
    let two = lower.image(&tag("v2")).unwrap();
    assert_eq!(lower.image(&tag("v1")).unwrap(), one);
    assert_eq!(one.layers[..2], two.layers[..2]);
    assert_ne!(one.layers[2], two.layers[2]);
    assert_ne!(one.manifest_digest, two.manifest_digest);
    assert_eq!(names(&one.layers[2].bytes), names(&two.layers[2].bytes));
}

#[test]
fn every_entry_is_owned_by_root_and_follows_its_directory() {
    let image = image("v1");
    for layer in &image.layers {
        let tar = plain(&layer.bytes);
        let mut archive = tar::Archive::new(tar.as_slice());
        let mut seen = BTreeSet::from([PathBuf::new()]);
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            assert!(seen.contains(path.parent().unwrap()), "{} comes too early", path.display());
            assert!(seen.insert(path.clone()), "{} comes twice", path.display());
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            assert_eq!(header.mode().unwrap() & 0o6000, 0, "{}", path.display());
        }
    }
}

/// Follows a path below `root` as a kernel would with `root` as its root directory.
fn follow(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut todo: Vec<_> = path.components().rev().map(|c| c.as_os_str().to_owned()).collect();
    let mut here = PathBuf::from("/");
    for _ in 0..1000 {
        let Some(part) = todo.pop() else { return Some(here) };
        let next = here.join(&part);
        let inside = root.join(next.strip_prefix("/").unwrap());
        match part.to_str() {
            Some("/" | ".") => {}
            Some("..") => _ = here.pop(),
            _ if inside.is_symlink() => {
                let target = inside.read_link().unwrap();
                todo.extend(target.components().rev().map(|c| c.as_os_str().to_owned()));
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
            }
            _ if inside.exists() => here = next,
            _ => return None,
        }
    }
    None
}

#[test]
fn links_are_kept_and_all_that_programs_need_is_in() {
    let image = image("v1");
    let root = unpack(&image);
    for name in ["bin", "sbin", "lib", "lib64"] {
        let host = Path::new("/").join(name);
        if host.is_symlink() {
            let inside = root.path().join(name);
            assert_eq!(inside.read_link().unwrap(), host.read_link().unwrap(), "{name}");
        }
    }
    let shell = follow(root.path(), Path::new("/bin/sh")).expect("/bin/sh leads nowhere");
    assert_eq!(shell, image.launcher.shell);

    let mut programs = 0;
    for directory in ["/usr/bin", "/bin"] {
        let Some(real) = follow(root.path(), Path::new(directory)) else { continue };
        for entry in std::fs::read_dir(root.path().join(real.strip_prefix("/").unwrap())).unwrap() {
            let path = Path::new(directory).join(entry.unwrap().file_name());
            let file = follow(root.path(), &path).expect("a link leads nowhere");
            let host = std::fs::read(&file).unwrap();
            let inside = root.path().join(file.strip_prefix("/").unwrap());
            assert_eq!(std::fs::read(inside).unwrap(), host, "{}", path.display());
            programs += 1;
            // `ldd` asks the same loader in its own way; a machine without it is a small one
            let Ok(ldd) = Command::new("ldd").arg(&file).output() else { continue };
            let text = String::from_utf8(ldd.stdout).unwrap();
            for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
                let library = Path::new(library.trim_end_matches(':'));
                assert!(
                    follow(root.path(), library).is_some(),
                    "{} needs {}",
                    path.display(),
                    library.display()
                );
            }
        }
    }
    assert!(programs > 5, "only {programs} programs");
}
