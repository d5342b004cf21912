//! What is said while an image is converted: bars on a terminal, lines elsewhere, nothing with `-q`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::{Arc, Mutex};

use indicatif::{InMemoryTerm, TermLike};
use moorline::archive::Location;
use moorline::layer::Limits;
use moorline::oci::Platform;
use moorline::pin::Codec;
use moorline::stage::{Archived, How, Progress, Show, archived, convert::recipe};
use moorline::store::{Store, Turn};

use crate::place::{Place, append, layers, lower};
use crate::support::{have, program};

/// A layer that does not compress, and a small one on top.
fn place() -> Place {
    let place = Place::new(0);
    two_layers(&place, "image", "top");
    place
}

fn two_layers(place: &Place, name: &str, top: &str) {
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, &[("usr/bin/top", top.as_bytes())]);
    layers(&place.path(name), &[lower(3 << 20), tar.into_inner().unwrap()]);
}

#[test]
fn a_pipe_gets_lines_and_quiet_nothing() {
    let place = place();
    let image = place.image();
    let said = place.run(&["convert", &image]).exits(0);
    let lines: Vec<&str> = said.stderr.lines().collect();
    let [converting, pinned, sif] = lines[..] else { panic!("{said}") };
    assert_eq!(converting, "converting 3.1 MB of layers");
    assert!(pinned.starts_with("pinned sha256:") && sif.ends_with(", 3.2 MB"), "{said}");
    // what is known is not read, and not counted
    two_layers(&place, "second", "another");
    let second = format!("oci:{}", place.path("second").display());
    let said = place.run(&["convert", &second]).exits(0);
    assert!(said.stderr.starts_with("converting 2.0 kB of layers\n"), "{said}");
    let known = place.run(&["convert", &image]).exits(0);
    assert!(known.stderr.starts_with("pinned sha256:"), "{known}");
    fs::remove_dir_all(place.cache()).unwrap();
    let quiet = place.run(&["-q", "convert", &image]).exits(0);
    assert_eq!(quiet.stderr, "");
}

/// All that was announced is read in the end, of archives too.
#[test]
fn what_was_read_adds_up_to_what_was_announced() {
    let place = place();
    two_layers(&place, "second", "another");
    let store = Store::open(&place.cache()).unwrap();
    let recipe = recipe(Codec::Zstd, 3, 131_072);
    let threads = NonZeroUsize::MIN;
    let mut layers = Vec::new();
    for image in ["image", "second"] {
        let told = Arc::new(Mutex::new((0, 0, BTreeSet::new(), 0)));
        let seen = Arc::clone(&told);
        let show: Show = Arc::new(move |progress: Progress<'_>| {
            let mut told = seen.lock().unwrap();
            match progress {
                Progress::Converting { bytes } => told.0 += bytes,
                Progress::Converted { bytes } => told.1 += bytes,
                Progress::Reading { number, of, layer } => {
                    assert_eq!(of, 2);
                    told.2.insert(number);
                    told.3 += layer.size;
                }
                _ => {}
            }
        });
        let location = format!("oci:{}", place.path(image).display());
        let location = Location::parse(&location).unwrap();
        let (_, _, image) = archived(&location, &Platform::host(), &recipe, &store, &show).unwrap();
        let Archived::New(image) = image else { panic!("it is known") };
        let how = How { recipe: &recipe, threads, limits: Limits::default() };
        image.convert(how, &store, &show).unwrap();
        let told = told.lock().unwrap();
        assert!(told.0 > 0 && told.0 == told.1 && told.0 == told.3, "{told:?}");
        layers.push(told.2.clone());
    }
    assert_eq!(layers, [BTreeSet::from([1, 2]), BTreeSet::from([2])]);
}

#[test]
fn a_terminal_has_bars_and_keeps_only_lines() {
    let there = Command::new("script").arg("--version").output().is_ok();
    if !have("script", "a_terminal_has_bars_and_keeps_only_lines", there) {
        return;
    }
    let place = place();
    let line = format!("{} convert {}", program().display(), place.image());
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env_clear()
        .envs(&place.env)
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}");
    for bar in ["converting     [", "layer 1 of 2   [", "layer 2 of 2   ["] {
        assert!(shown.contains(bar), "{bar}: {shown:?}");
    }
    // what stays on the screen
    let terminal = InMemoryTerm::new(40, 200);
    terminal.write_str(&shown).unwrap();
    let screen = terminal.contents();
    let lines: Vec<&str> = screen.lines().collect();
    let [pinned, sif, path] = lines[..] else { panic!("{screen}") };
    assert!(pinned.starts_with("pinned sha256:"), "{screen}");
    assert!(sif.starts_with("sha256:") && path.contains("/sifs/sha256/"), "{screen}");
}

#[test]
fn who_waits_says_for_whom() {
    let place = place();
    let image = place.image();
    let manifest = place.run(&["--json", "convert", &image]).exits(0).json();
    let manifest = manifest["manifest"].as_str().unwrap().parse().unwrap();
    fs::remove_dir_all(place.cache()).unwrap();
    let store = Store::open(&place.cache()).unwrap();
    let recipe = recipe(Codec::Zstd, 3, 131_072);
    let Turn::Mine(lease) = store.turn(&manifest, &recipe, &mut |_| {}).unwrap() else {
        panic!("it is known")
    };
    let mut child = place.command(&["convert", &image]).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let host = rustix::system::uname();
    let expected = format!(
        "waiting for process {} on {}, which converts this image since ",
        std::process::id(),
        host.nodename().to_str().unwrap()
    );
    let waiting = said.next().unwrap().unwrap();
    assert!(waiting.starts_with(&expected) && waiting.ends_with('Z'), "{waiting}");
    drop(lease);
    assert_eq!(said.next().unwrap().unwrap(), "converting 3.1 MB of layers");
    assert!(said.all(|line| line.is_ok()));
    assert!(child.wait().unwrap().success());
}
