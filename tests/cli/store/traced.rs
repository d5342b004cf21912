//! What can only be seen from outside, or be made to happen there: with strace.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;

use crate::place::Place;
use crate::store::users::{BERT, place_of};
use crate::support::{am_root, finish, have};

fn can_trace(test: &str) -> bool {
    let traces = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    have("strace", test, traces.is_ok_and(|status| status.success()))
}

/// The answers are simulated: no quota is used up, no server is started anew.
#[test]
fn a_used_up_quota_and_a_stale_handle_say_what_to_do() {
    if !can_trace("a_used_up_quota_and_a_stale_handle_say_what_to_do") {
        return;
    }
    for (error, code, words) in [
        ("EDQUOT", 8, ["quota exceeded", "hint: `quota -s`", "MOORLINE_CACHE"]),
        ("ESTALE", 12, ["Stale file handle", "hint: the file server", "again"]),
    ] {
        // what only comes out when a file is to be durable, and what does at once
        for call in ["fsync", "mkdir"] {
            let place = Place::new(3000);
            let image = place.image();
            let inject = format!("inject={call}:error={error}:when=2+");
            let trace = format!("trace={call}");
            let log = place.path("trace");
            let before =
                ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e", &trace, "-e", &inject];
            let args = ["convert", image.as_str()];
            let answer = finish(place.command_behind(&before, &args), &args, "");
            let told = answer.stderr.to_lowercase();
            for word in words {
                assert!(told.contains(&word.to_lowercase()), "{call}: {word}: {answer}");
            }
            // what a conversion could not write counts as its failure
            assert!(answer.code == code || (error == "ESTALE" && answer.code == 7), "{answer}");
            place.convert().ok();
            place.is_clean();
        }
    }
}

/// The holder of a lease died where no hard links are: nobody waits for it for ever.
#[test]
fn a_dead_holder_where_links_fail_is_not_waited_for() {
    if !can_trace("a_dead_holder_where_links_fail_is_not_waited_for") {
        return;
    }
    let place = Place::new(3000);
    let image = place.image();
    let manifest = place.run(&["--json", "convert", &image]).exits(0).json();
    let hex = manifest["manifest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    fs::remove_dir_all(place.cache().join("pins")).unwrap();
    // the lease's name as a conversion that is stopped leaves it
    let log = place.path("trace");
    let before = ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e", "trace=linkat"];
    let args = ["convert", image.as_str()];
    finish(place.command_behind(&before, &args), &args, "").exits(0);
    let traced = fs::read_to_string(&log).unwrap();
    let lease = traced.split('"').find(|word| word.contains(&hex[..16])).unwrap().to_owned();
    fs::remove_dir_all(place.cache().join("pins")).unwrap();
    fs::write(&lease, b"{}").unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::options().write(true).open(&lease).unwrap().set_modified(old).unwrap();
    let inject = "inject=linkat:error=EOPNOTSUPP";
    let before =
        ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e", "trace=linkat", "-e", inject];
    let before = [&["timeout", "60"][..], &before].concat();
    finish(place.command_behind(&before, &args), &args, "").exits(0);
    let asked = fs::read_to_string(&log).unwrap().matches("linkat(").count();
    assert!(asked < 5, "{asked} links were tried");
}

/// A tree that was unpacked is on the disk before it is called complete.
#[test]
fn an_unpacked_tree_is_synced_before_its_mark() {
    let test = "an_unpacked_tree_is_synced_before_its_mark";
    if !can_trace(test) || !have("root", test, am_root()) {
        return;
    }
    // an ordinary user, for whom no kernel mounts it; squashfuse is hidden by PATH
    let mut place = place_of(BERT);
    // a tree that later jobs share
    let config = place.path("home/config.toml");
    fs::write(&config, "[delivery]\nshared_trees = true\n").unwrap();
    chown(&config, Some(BERT), Some(BERT)).unwrap();
    let (image, log) = (place.image(), place.path("home/trace"));
    let path = place.env.insert("PATH".into(), "/nowhere".into()).unwrap();
    let found = |name| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.exists());
    let [setpriv, strace] = ["setpriv", "strace"].map(|name| found(name).unwrap());
    let (uid, trace) = (BERT.to_string(), "trace=openat,syncfs,fsync,?rename,?renameat,?renameat2");
    let before =
        [setpriv.to_str().unwrap(), "--reuid", &uid, "--regid", &uid, "--clear-groups", "--"];
    let tracing =
        [strace.to_str().unwrap(), "-f", "-qq", "-y", "-o", log.to_str().unwrap(), "-e", trace];
    let before = [&before[..], &tracing].concat();
    // the image has no interpreter: that it cannot run is found when it is unpacked
    let config = config.to_str().unwrap();
    let args = ["run", "--config", config, "--runtime", "builtin", &image, "--", "/usr/bin/tool"];
    let answer = finish(place.command_behind(&before, &args), &args, "");
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let first = |words: [&str; 2]| {
        let found = lines.iter().position(|line| words.iter().all(|word| line.contains(word)));
        found.unwrap_or_else(|| panic!("no {words:?}: {answer}\n{text}"))
    };
    let made = |line: &&str| line.contains("\"noise\"") && line.contains(".new-");
    let unpacked = lines.iter().rposition(made).unwrap();
    let (synced, marked) = (first(["syncfs(", ".new-"]), first(["O_CREAT", "/seal\""]));
    let durable = first(["fsync(", "/seal>"]);
    let named = first(["rename", ".new-"]);
    let order = [unpacked, synced, marked, durable, named];
    assert!(order.is_sorted(), "{order:?}\n{text}");
}

/// A file that another machine shortens would end a program that has mapped it (SIGBUS).
#[test]
fn shared_files_are_not_memory_mapped() {
    if !can_trace("shared_files_are_not_memory_mapped") {
        return;
    }
    let place = Place::new(3000);
    let (image, log) = (place.image(), place.path("trace"));
    let before =
        ["strace", "-f", "-qq", "-y", "-o", log.to_str().unwrap(), "-e", "trace=mmap,read,pread64"];
    let mut seen = String::new();
    let traced: [&[&str]; 4] =
        [&["convert", &image], &["convert", &image], &["cache", "verify"], &["cache", "ls"]];
    for args in traced {
        finish(place.command_behind(&before, args), args, "").exits(0);
        seen.push_str(&fs::read_to_string(&log).unwrap());
    }
    let store = place.cache().display().to_string();
    let of_store = |call: &str| {
        seen.lines().filter(|line| line.contains(call) && line.contains(&store)).count()
    };
    assert_eq!(of_store("mmap("), 0);
    // the trace does show files
    assert!(of_store("read(") > 0 && seen.contains("mmap("), "{seen}");
}

/// Where no lease can be had two convert at once: both are right, and so is what they leave.
#[test]
fn two_winners_are_harmless() {
    if !can_trace("two_winners_are_harmless") {
        return;
    }
    let place = Place::new(300_000);
    let image = place.image();
    let logs = ["a", "b"].map(|name| place.path(name));
    let running = logs.each_ref().map(|log| {
        let log = log.to_str().unwrap();
        let inject = "inject=linkat:error=EPERM";
        let before = ["strace", "-f", "-qq", "-o", log, "-e", "trace=linkat", "-e", inject];
        place.command_behind(&before, &["convert", &image, "--json"]).spawn().unwrap()
    });
    let made = running.map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    });
    assert_eq!((&made[0]["sif"], &made[0]["path"]), (&made[1]["sif"], &made[1]["path"]));
    place.is_clean();
    assert_eq!(place.names("sifs/sha256").len(), 1);
}
