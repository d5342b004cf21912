//! `moorline runtime`: what is kept, what is refused, and a run with an added udocker. The packages here are made by
//! this test, but for that of the run, which is udocker's own.

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use moorline::oci::{Digest, Sha256Digest};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::place::Place;
use crate::support::{Home, Server, have};

pub fn wheel(version: &str) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let init = format!("__version__ = \"{version}\"\n");
    for (name, bytes) in
        [("udocker/__init__.py", init.as_str()), ("udocker/maincmd.py", "def main(): return 0\n")]
    {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn engines() -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in
        [("udocker_dir/bin/proot-x86_64", &b"elf"[..]), ("udocker_dir/lib/VERSION", b"1.2.11\n")]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn put(place: &Place, name: &str, bytes: &[u8]) -> String {
    let path = place.path(name);
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

#[test]
fn what_was_added_is_listed_kept_and_removed() {
    let place = Place::new(1000);
    let none = place.run(&["runtime", "ls"]).exits(0);
    assert!(none.stdout.is_empty() && none.stderr.contains("no runtime was added"), "{none}");

    let package = put(&place, "udocker-1.3.17-py2.py3-none-any.whl", &wheel("1.3.17"));
    let tools = put(&place, "udocker-englib-1.2.11.tar.gz", &engines());
    let digest = Digest::of(&wheel("1.3.17")).to_string();
    let add = &["runtime", "add", "udocker", &package, &tools];
    let added = place.run(add).exits(0);
    assert_eq!(added.stdout.trim(), digest);
    assert!(added.stderr.contains("added udocker 1.3.17; engines 1.2.11"), "{added}");
    // once more is fine
    assert_eq!(place.run(add).ok(), digest);

    let listed = place.run(&["runtime", "ls", "--json"]).exits(0).json();
    let all = listed["runtimes"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{listed}");
    let one = &all[0];
    assert_eq!(
        (one["runtime"].as_str(), one["version"].as_str()),
        (Some("udocker"), Some("1.3.17"))
    );
    assert_eq!(one["package"]["sha256"], digest);
    assert_eq!(one["package"]["size"], wheel("1.3.17").len());
    assert_eq!(one["engines"]["version"], "1.2.11");
    assert_eq!(one["engines"]["brings"][0], "proot-x86_64");
    assert_eq!(one["used"], true);
    assert!(one["added_at"].as_str().unwrap().starts_with("20"), "{one}");

    // a second version is the one that is used; the first one stays
    let newer = put(&place, "newer.whl", &wheel("1.3.18"));
    let added = place.run(&["runtime", "add", "udocker", &newer]).exits(0);
    assert!(added.stderr.contains("workers need proot, runc or crun"), "{added}");
    let table = place.run(&["runtime", "ls"]).exits(0).stdout;
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].starts_with("RUNTIME") && rows[0].contains("ADDED"), "{table}");
    assert!(rows[1].contains("1.3.18") && rows[1].trim_end().ends_with("yes"), "{table}");
    assert!(rows[2].contains("1.3.17") && rows[2].trim_end().ends_with("no"), "{table}");

    // it is neither pruned nor damaged
    place
        .run(&["cache", "prune", "--max-size", "0", "--older-than", "0s", "--empty-trash"])
        .exits(0);
    place.run(&["cache", "verify"]).exits(0);
    let kept = place.run(&["runtime", "ls", "--json"]).exits(0).json();
    assert_eq!(kept["runtimes"].as_array().unwrap().len(), 2, "{kept}");
    let room = place.run(&["cache", "ls", "--json"]).exits(0).json();
    assert_eq!(room["runtimes"]["files"], 3, "{room}");

    place.run(&["runtime", "rm", "sha256:"]).fails(2, &["no digest", "hint:"]);
    place.run(&["runtime", "rm", "0000"]).fails(3, &["0000", "hint:"]);
    place.run(&["runtime", "rm", &digest[..19]]).exits(0);
    place.run(&["runtime", "rm", &Digest::of(&wheel("1.3.18")).hex()]).exits(0);
    assert_eq!(place.run(&["cache", "ls", "--json"]).exits(0).json()["runtimes"]["files"], 0);
}

#[test]
fn what_is_no_udocker_is_refused_and_not_kept() {
    let place = Place::new(1000);
    let good = put(&place, "good.whl", &wheel("1.3.17"));
    let (text, cut) = (wheel("1.3.17"), engines());
    for (package, tools, code, words) in [
        (put(&place, "text", b"hello"), None, 2, &["text cannot be added", "neither", "hint:"][..]),
        (put(&place, "cut.whl", &text[..text.len() - 30]), None, 6, &["malformed", "SHA-256"]),
        (place.path("gone.whl").display().to_string(), None, 3, &["gone.whl", "hint:"]),
        (place.path("image").display().to_string(), None, 2, &["a directory", "hint:"]),
        (good.clone(), Some(good.clone()), 2, &["no archive of udocker's engines"]),
        (
            good.clone(),
            Some(put(&place, "cut.tar.gz", &cut[..40])),
            6,
            &["cut.tar.gz", "malformed"],
        ),
    ] {
        let words_of = ["runtime", "add", "udocker", &package];
        let args: Vec<&str> = words_of.into_iter().chain(tools.as_deref()).collect();
        place.run(&args).fails(code, words);
    }
    place.run(&["runtime", "add", "podman", &good]).fails(2, &["podman", "udocker"]);
    let listed = place.run(&["runtime", "ls", "--json"]).exits(0).json();
    assert_eq!(listed["runtimes"].as_array().unwrap().len(), 0, "{listed}");
    assert_eq!(place.names("tmp").len(), 0);
}

/// A job that lost a file of its runtime is refused before anything is asked.
#[test]
fn a_lost_file_is_named_before_a_job_is_made() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let package = home.path("udocker.whl");
    fs::write(&package, wheel("1.3.17")).unwrap();
    let digest = home.ok(&["runtime", "add", "udocker", package.to_str().unwrap()]);
    let hex = digest.strip_prefix("sha256:").unwrap();
    fs::remove_file(home.path("cache/runtimes/sha256").join(hex)).unwrap();
    let words = ["lost udocker.whl", "hint:", "moorline runtime add udocker"];
    let image = server.name(":v1");
    home.run(&["submit", "--runtime", "auto", &image, "true"]).fails(3, &words);
    assert!(!home.jobs().exists() || fs::read_dir(home.jobs()).unwrap().count() == 0);
    // one that never comes to it does not need it
    home.run(&["run", "--runtime", "builtin", &image, "true"]).exits(0);
}

/// udocker's own package, and `PATH` without a udocker.
fn real(test: &str, home: &Path) -> Option<(PathBuf, String)> {
    let package = std::env::var_os("MOORLINE_TEST_UDOCKER_PACKAGE").map(PathBuf::from);
    // the system's own: one that only stands for it (pyenv's `python3`) needs more of `PATH`
    let of_system = |name: &str| {
        let places = ["/usr/bin", "/usr/sbin"].map(|folder| Path::new(folder).join(name));
        places.into_iter().find(|path| path.exists())
    };
    // the last ones are for the job's script
    let needed =
        ["python3", "runc", "sh", "env", "cut", "od", "tr", "uname", "date", "mv", "sha256sum"]
            .map(of_system);
    let all = package.is_some() && needed.iter().all(Option::is_some);
    if !have("udocker", test, all) {
        return None;
    }
    let bin = home.join("few");
    fs::create_dir(&bin).unwrap();
    for program in needed.into_iter().flatten() {
        symlink(&program, bin.join(program.file_name().unwrap())).unwrap();
    }
    Some((package?, bin.display().to_string()))
}

/// The whole line on one machine: added, submitted, run where no udocker is installed, and audited.
#[test]
fn a_job_runs_by_the_udocker_that_was_added() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let test = "runtime::a_job_runs_by_the_udocker_that_was_added";
    let Some((package, path)) = real(test, &home.path("")) else { return };
    let image = server.name(":v1");
    let home = home.with("PATH", &path);
    let flags = ["--runtime", "udocker", "--option=--execmode=R1"];
    // nothing is there before it is added
    let run =
        [&["run"][..], &flags, &[&image, "--", "sh", "-c", "echo hello >made; exit 7"]].concat();
    home.run(&run).fails(9, &["udocker cannot be used here", "not installed", "runtime add"]);
    let digest = home.ok(&["runtime", "add", "udocker", package.to_str().unwrap()]);
    home.run(&run).exits(7);
    assert_eq!(fs::read_to_string(home.path("here/made")).unwrap(), "hello\n");
    let (job, code) = home.job_of(&flags, &image, "echo once more");
    let said = home.ok(&["logs", &job]);
    assert_eq!((code, said.as_str()), (0, "once more"), "{}", home.ok(&["logs", "--stderr", &job]));
    let audit = home.run(&["audit", "job", &job]).exits(0).stdout;
    for word in [&*digest, "measured-cached", "came with the job", "Match, but"] {
        assert!(audit.contains(word), "{word}: {audit}");
    }
    // a package that was exchanged in the store is not unpacked
    let hex = digest.strip_prefix("sha256:").unwrap();
    let kept = home.path("cache/runtimes/sha256").join(hex);
    fs::remove_file(&kept).unwrap();
    fs::write(&kept, wheel("1.3.17")).unwrap();
    let refused = home.run(&run).exits(214);
    assert!(refused.stderr.contains("was changed since"), "{refused}");
    assert!(!home.path(".udocker").exists());
}
