//! A full disk: a real one, small enough to fill.

use std::path::Path;
use std::process::Command;

use crate::place::Place;
use crate::support::{am_root, have};

struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(at: &'a Path, size: &str) -> Self {
        std::fs::create_dir(at).unwrap();
        let options = format!("mode=0755,size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status();
        assert!(mounted.unwrap().success());
        Self(at)
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_ends_clearly_leaves_nothing_and_a_later_run_succeeds() {
    if !have("root", "a_full_disk_ends_clearly", am_root()) {
        return;
    }
    let mut place = Place::new(3 << 20);
    let disk = place.path("disk");
    let mounted = Tmpfs::mount(&disk, "4M");
    place.env.insert("MOORLINE_CACHE".into(), disk.join("cache").display().to_string());
    // a part of the SIF fits; then hardly anything
    for filled in [2 << 20, 7 << 19] {
        place.run(&["cache", "prune", "--max-size", "0", "--empty-trash"]).exits(0);
        std::fs::write(disk.join("filler"), vec![0; filled]).unwrap();
        place.convert().fails(8, &["No space left on device", "hint: "]);
        place.is_clean();
    }
    std::fs::remove_file(disk.join("filler")).unwrap();
    let grown = Command::new("mount").args(["-o", "remount,size=64M"]).arg(&disk).status();
    assert!(grown.unwrap().success());
    place.convert().ok();
    place.is_clean();
    drop(mounted);
}

#[test]
fn a_file_system_that_is_nearly_full_is_warned_about() {
    if !have("root", "a_file_system_that_is_nearly_full", am_root()) {
        return;
    }
    let mut place = Place::new(3000);
    let disk = place.path("disk");
    let _mounted = Tmpfs::mount(&disk, "16M");
    place.env.insert("MOORLINE_CACHE".into(), disk.join("cache").display().to_string());
    let said = place.convert().exits(0).stderr;
    assert!(!said.contains("% used"), "{said}");
    std::fs::remove_dir_all(place.cache()).unwrap();
    std::fs::write(disk.join("filler"), vec![0; 14 << 20]).unwrap();
    let said = place.convert().exits(0).stderr;
    let words = ["warning: the file system of the store", "% used", "moorline cache prune"];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    // before anything is written there
    let at = |word| said.find(word).unwrap();
    assert!(at("warning: ") < at("converting "), "{said}");
    // what is known needs no room
    let said = place.convert().exits(0).stderr;
    assert!(!said.contains("% used"), "{said}");
}
