//! On a login node `convert` and `verify` give way to others.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Child;

use crate::place::Place;
use crate::support::{Answer, have};

/// The thread's priority, of `/proc/PID/task/TID/stat`.
fn nice(stat: &str) -> i64 {
    // the name may hold anything; the third field stands behind its bracket, this is the nineteenth
    stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse().unwrap()
}

/// This program's own, which the commands inherit.
fn own() -> i64 {
    nice(&fs::read_to_string("/proc/self/stat").unwrap())
}

/// The most threads that gave way at once until the command ended, and whether the first one never did.
fn watch(mut child: Child) -> (usize, bool, Answer) {
    let (mut most, mut first, own) = (0, true, own());
    while child.try_wait().unwrap().is_none() {
        let tasks = fs::read_dir(format!("/proc/{}/task", child.id()));
        // threads end while they are looked at
        let stats = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).ok()?;
            Some((task.file_name().to_string_lossy() == child.id().to_string(), nice(&stat)))
        });
        let stats: Vec<(bool, i64)> = stats.collect();
        most = most.max(stats.iter().filter(|(_, nice)| *nice > own).count());
        first &= stats.iter().all(|(first, nice)| !first || *nice == own);
    }
    let output = child.wait_with_output().unwrap();
    let answer = Answer {
        args: String::new(),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    (most, first, answer)
}

#[test]
fn on_a_login_node_conversions_take_few_threads_and_give_way() {
    let test = "on_a_login_node_conversions_take_few_threads_and_give_way";
    if !have("a priority that can be lowered", test, own() < 19) {
        return;
    }
    let mut place = Place::new(24 << 20);
    // whatever this machine is
    let bin = place.path("bin");
    fs::create_dir(&bin).unwrap();
    place.env.insert("PATH".into(), bin.display().to_string());
    let image = place.image();
    place.run(&["convert", &image, "-o", "x.sif"]).exits(0);
    let commands = [&["convert", &image][..], &["verify", "x.sif", "--from", &image]];
    let conversion = |place: &Place, args: &[&str]| {
        let _ = fs::remove_dir_all(place.cache());
        let (most, first, answer) = watch(place.command(args).spawn().unwrap());
        assert_eq!(answer.code, 0, "{answer}");
        (most, first)
    };
    for args in commands {
        assert_eq!(conversion(&place, args), (0, true), "{args:?} where nobody submits");
    }
    fs::write(bin.join("sbatch"), "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(bin.join("sbatch"), fs::Permissions::from_mode(0o755)).unwrap();
    for args in commands {
        let (most, first) = conversion(&place, args);
        // at most four that compress; one that merges, three that read, inflate and hash, two for the
        // finished file's digest
        assert!((2..=10).contains(&most), "{args:?}: {most} threads gave way");
        assert!(first, "{args:?}: the process itself gave way, and what it starts later would");
    }
}
