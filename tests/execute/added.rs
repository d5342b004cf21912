//! A udocker that comes with its job: udocker 1.3.17 from `PyPI` (`MOORLINE_TEST_UDOCKER_PACKAGE`), where `PATH` has none.
//!
//! udocker's own archive of engines cannot be had by a test. The archives here have its names and its layout, and are
//! *made of Debian's* programs: proot, and for the F modes libfakechroot and patchelf. Debian's patchelf does not know
//! `-q`, so a script stands before it. Debian's libfakechroot does not know udocker's `FAKECHROOT_DIR_MAP`: mounts, the
//! working directory among them, are not where udocker puts them, and nothing is said of them here.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use moorline::execute::find_program;
use moorline::job::{
    AddedEngines, AddedFile, AddedRuntime, Grade, Name, RuntimeChoice, StagedRuntime,
};
use moorline::oci::{Digest, Sha256Digest, SifDigest};
use moorline::worker::{Qualifier, Start};

use crate::support::*;

/// A SIF of a static busybox, which proot 5.1 can start; made once.
fn busybox() -> (PathBuf, SifDigest) {
    static IMAGE: OnceLock<(PathBuf, SifDigest)> = OnceLock::new();
    let made = IMAGE.get_or_init(|| {
        let root = world().dir.path().join("added");
        for dir in ["bin", "etc", "tmp"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        fs::copy(find_program("busybox").unwrap(), root.join("bin/busybox")).unwrap();
        for name in ["sh", "cat"] {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let path = world().dir.path().join("added.sif");
        let digest = make_sif(&root, Some(r#"{"Env":["PATH=/bin"]}"#), &path);
        (path, digest)
    });
    made.clone()
}

fn package(test: &str, programs: &[&str]) -> Option<PathBuf> {
    let package = std::env::var_os("MOORLINE_TEST_UDOCKER_PACKAGE").map(PathBuf::from);
    let all = package.is_some() && programs.iter().copied().all(in_path);
    (squashfs_tools(test) && have("udocker", test, all)).then_some(package?)
}

/// A directory with these programs and no others.
fn few(job: &Job, programs: &[&str]) -> String {
    let bin = job.path("few");
    fs::create_dir(&bin).unwrap();
    for name in programs {
        symlink(of_system(name).unwrap(), bin.join(name)).unwrap();
    }
    bin.display().to_string()
}

/// The system's own program: one that only stands for it (pyenv's `python3`) needs more of `PATH`.
fn of_system(name: &str) -> Option<PathBuf> {
    let places = ["/usr/bin", "/usr/sbin"].map(|folder| Path::new(folder).join(name));
    places.into_iter().find(|path| path.exists()).or_else(|| find_program(name))
}

/// Puts the files beside the plan, as a job has them whose files an engine brings.
fn bring(job: &mut Job, package: &Path, engines: Option<(&[u8], &[&str])>) -> Digest {
    let folder = job.path("control/added");
    fs::create_dir(&folder).unwrap();
    let keep = |name: &str, bytes: &[u8]| {
        let sha256 = Digest::of(bytes);
        fs::write(folder.join(sha256.hex()), bytes).unwrap();
        AddedFile { name: name.to_owned(), sha256, size: bytes.len() as u64 }
    };
    let package = keep("udocker.whl", &fs::read(package).unwrap());
    let sha256 = package.sha256;
    let engines = engines.map(|(bytes, brings)| AddedEngines {
        file: keep("engines.tar.gz", bytes),
        version: "1.2.11".into(),
        brings: brings.iter().map(ToString::to_string).collect(),
    });
    let kind = Name::known("udocker");
    let runtime = AddedRuntime { kind, version: "1.3.17".into(), package, engines };
    job.plan.added = vec![StagedRuntime { runtime, files: "added".into() }];
    job.plan.job.runtime = RuntimeChoice::Udocker;
    sha256
}

/// An archive as udocker's own, of these files.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let fast = flate2::Compression::fast();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), fast));
    let version = ("lib/VERSION", &b"1.2.11\n"[..]);
    for (name, bytes) in files.iter().chain([&version]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, format!("udocker_dir/{name}"), *bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn it_runs_where_none_is_installed() {
    let test = "added::it_runs_where_none_is_installed";
    let Some(package) = package(test, &["python3", "proot", "runc", "busybox"]) else { return };
    let proot = fs::read(find_program("proot").unwrap()).unwrap();
    let (place, image) = busybox();
    for user in users() {
        for (mode, host) in [("P1", Some("proot")), ("R1", Some("runc")), ("P1", None)] {
            let mut job = Job::sh(user, "cat; echo made >made; exit 7");
            job.set_image(image, place.clone());
            let programs = ["python3", "sh", "env"].into_iter().chain(host).collect::<Vec<_>>();
            let mut path = few(&job, &programs);
            assert!(!Path::new(&path).join("udocker").exists());
            if mode == "R1" && user == User::Nobody {
                // runc asks for the machine's own helpers
                path.push_str(":/usr/bin:/bin:/usr/sbin");
            }
            job.env.push(("PATH".into(), path));
            job.env.push(("HOME".into(), job.path("tmp").display().to_string()));
            let name = format!("proot-{}", std::env::consts::ARCH);
            let engines = archive(&[(&format!("bin/{name}"), &proot)]);
            let names = [name.as_str()];
            let brought = host.is_none().then_some((&*engines, &names[..]));
            let sha256 = bring(&mut job, &package, brought);
            job.plan.job.options = vec![format!("--execmode={mode}")];
            let done = job.run();
            let case = format!("{user:?} {mode} {host:?}: {}", done.stderr);
            assert_eq!(done.code, 7, "{case}");
            assert_eq!(fs::read_to_string(job.path("work/made")).unwrap(), "made\n", "{case}");
            let receipt = done.receipt.unwrap();
            assert_eq!(receipt.runtime.as_str(), "udocker");
            assert_eq!(receipt.evidence.grade, Grade::MeasuredCached, "{case}");
            assert_eq!(receipt.conditions.modified, None);
            let program = receipt.conditions.program.clone().unwrap();
            assert_eq!(program.sha256, Some(sha256), "the package's, not a script's");
            assert!(program.version.unwrap().contains("1.3.17"));
            let notes = receipt.notes.join("\n");
            assert!(notes.contains("udocker 1.3.17 came with the job"), "{notes}");
            assert_eq!(notes.contains("which came with the job"), host.is_none(), "{notes}");
            // nothing was installed, and nothing is left
            assert!(!job.path("tmp/.udocker").exists());
            let left = fs::read_dir(job.path("tmp")).unwrap().map(|e| e.unwrap().file_name());
            let left = left.filter(|name| name.to_string_lossy().starts_with("moorline-job"));
            assert_eq!(left.count(), 0, "{case}");
        }
    }
}

#[test]
fn other_files_than_were_submitted_are_not_used() {
    let test = "added::other_files_than_were_submitted_are_not_used";
    let Some(package) = package(test, &["python3", "runc", "busybox"]) else { return };
    let (place, image) = busybox();
    let job = || {
        let mut job = Job::sh(User::Me, "echo started");
        job.set_image(image, place.clone());
        bring(&mut job, &package, None);
        job.plan.job.options = vec!["--execmode=R1".into()];
        job
    };
    let refused = |job: &Job, word: &str| {
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{}", done.stderr);
        assert!(done.stderr.contains(word), "{}", done.stderr);
        assert!(matches!(done.receipt.unwrap().start, Start::Refused { .. }));
    };
    let changed = job();
    let file =
        changed.path("control/added").join(changed.plan.added[0].runtime.package.sha256.hex());
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    refused(&changed, "was changed since");
    fs::remove_file(&file).unwrap();
    refused(&changed, "cannot be read");
    // what a submitter did not look at
    let mut other = job();
    let bytes = b"no wheel".to_vec();
    let sha256 = Digest::of(&bytes);
    fs::write(other.path("control/added").join(sha256.hex()), bytes).unwrap();
    other.plan.added[0].runtime.package.sha256 = sha256;
    refused(&other, "neither as a .tar.gz nor as a wheel");
    // without Python it is not taken at all
    let mut bare = job();
    let path = few(&bare, &["sh", "env", "runc"]);
    bare.env.push(("PATH".into(), path));
    let done = bare.run();
    assert_eq!(done.code, 213, "{}", done.stderr);
    assert!(done.stderr.contains("python3 is not installed"), "{}", done.stderr);
    // `auto` passes it over, too
    bare.plan.job.runtime = RuntimeChoice::Auto;
    bare.plan.job.options.clear();
    bare.plan.runtimes = vec![Name::known("udocker")];
    assert_eq!(bare.run().code, 213);
}

/// Engines of the F modes that are made of Debian's, as the head of this file says.
fn fakechroot(test: &str) -> Option<(Vec<u8>, Vec<String>)> {
    let arch = std::env::consts::ARCH;
    let library = format!("/usr/lib/{arch}-linux-gnu/fakechroot/libfakechroot.so");
    let all = in_path("patchelf") && Path::new(&library).exists();
    if !have("fakechroot", test, all) {
        return None;
    }
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = -q ] && shift\nexec {} \"$@\"\n",
        find_program("patchelf")?.display()
    );
    let names = [format!("patchelf-{arch}"), format!("libfakechroot-{arch}.so")];
    let bytes = archive(&[
        (&format!("bin/{}", names[0]), script.as_bytes()),
        (&format!("lib/{}", names[1]), &fs::read(library).unwrap()),
    ]);
    Some((bytes, names.into()))
}

#[test]
fn what_rewrites_the_image_is_said_and_proves_less() {
    let test = "added::what_rewrites_the_image_is_said_and_proves_less";
    let Some(package) = package(test, &["python3"]) else { return };
    let Some((engines, brings)) = fakechroot(test) else { return };
    let brings: Vec<&str> = brings.iter().map(String::as_str).collect();
    for (user, mode) in users().into_iter().flat_map(|user| [(user, "F1"), (user, "F2")]) {
        let mut job = Job::sh(user, "cat /opt/tools/hello; ls /; exit 7");
        bring(&mut job, &package, Some((&engines, &brings)));
        job.plan.job.options = vec![format!("--execmode={mode}")];
        let done = job.run();
        assert_eq!(done.code, 7, "{user:?} {mode}: {}\n{:?}", done.stderr, done.receipt);
        // the image's files, and not the machine's
        assert!(
            done.stdout.contains("hello $*") && !done.stdout.contains("sbin"),
            "{}",
            done.stdout
        );
        let receipt = done.receipt.unwrap();
        let modified = receipt.conditions.modified.clone().unwrap();
        assert!(modified.starts_with(&format!("udocker {mode}: ")), "{modified}");
        assert_eq!(receipt.evidence.grade, Grade::RuntimeReported);
        assert!(receipt.qualifiers().contains(&Qualifier::Modified), "{:?}", receipt.qualifiers());
        // the code is the program's own, also where a signal ends it
        job.plan.job.command[2] = "kill -TERM $$".into();
        assert_eq!(job.run().code, 143, "{user:?} {mode}");
        // and nothing of it is enough for a job that wants more
        for required in [Grade::Measured, Grade::MeasuredCached] {
            job.plan.job.terms.require = Some(required);
            let done = job.run();
            assert_eq!(done.code, 211, "{user:?} {mode}: {}", done.stderr);
        }
    }
    // without its engines it does not begin
    let mut job = Job::sh(User::Me, "true");
    bring(&mut job, &package, None);
    job.plan.job.options = vec!["--execmode=F1".into()];
    let done = job.run();
    assert!(done.code == 214 && done.stderr.contains("ENGINE-TARBALL"), "{}", done.stderr);
}
