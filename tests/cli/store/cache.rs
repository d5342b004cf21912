//! `moorline cache` as scripts see it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::place::Place;
use crate::support::{Home, Server, until};

#[test]
fn ls_prune_and_verify() {
    let place = Place::new(10_000);
    place.run(&["cache", "verify"]).exits(0);
    let sif = place.convert().ok();
    let answer = place.run(&["cache", "ls"]).exits(0).stdout;
    // the layers of an archive stay where they lie
    for (what, files) in [("images", "1"), ("layers and configurations", "1"), ("trash", "0")] {
        let line = answer.lines().find_map(|line| line.strip_prefix(what)).expect(what);
        assert_eq!(line.split_whitespace().next(), Some(files), "{answer}");
    }
    let listed = place.run(&["cache", "ls", "--json"]).exits(0).json();
    let kinds: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|i| i["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "sif").count(), 1);
    assert_eq!(kinds.iter().filter(|kind| **kind == "blob").count(), 1);

    // nothing is so old
    let none = place.run(&["cache", "prune", "--older-than", "1h", "--json"]).exits(0).json();
    assert_eq!(none["removed"].as_array().unwrap().len(), 0);
    let plan =
        place.run(&["cache", "prune", "--max-size", "0", "--dry-run", "--json"]).exits(0).json();
    assert_eq!(
        (plan["removed"].as_array().unwrap().len(), plan["dry_run"].as_bool()),
        (4, Some(true))
    );
    assert!(fs::exists(&sif).unwrap());
    let done = place.run(&["cache", "prune", "--max-size", "0", "--json"]).exits(0).json();
    assert_eq!(done["removed"], plan["removed"]);
    assert_eq!(done["left"], 0);
    assert!(!fs::exists(&sif).unwrap());
    assert_eq!(place.names("trash").len(), 1);
    place.run(&["cache", "prune", "--empty-trash"]).exits(0);
    assert_eq!(place.names("trash").len(), 0);
    assert_eq!(place.convert().ok(), sif);
    place.is_clean();
}

#[test]
fn a_damaged_image_is_found_put_away_and_made_again() {
    let place = Place::new(10_000);
    let sif = place.convert().ok();
    let good = fs::read(&sif).unwrap();
    fs::set_permissions(&sif, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = good.clone();
    bytes[good.len() / 2] ^= 1;
    fs::write(&sif, bytes).unwrap();
    let answer = place.run(&["cache", "verify"]).exits(6);
    assert!(
        answer.stdout.contains(&sif) && answer.stdout.contains("moved to the trash"),
        "{answer}"
    );
    place.run(&["cache", "verify"]).exits(0);
    assert_eq!(place.convert().ok(), sif);
    assert_eq!(fs::read(&sif).unwrap(), good);
}

#[test]
fn ages_and_sizes_have_units() {
    let place = Place::new(10);
    place.run(&["cache", "prune", "--older-than", "30"]).exits(2);
    place.run(&["cache", "prune", "--max-size", "1.5G"]).exits(2);
}

#[test]
fn a_conversion_keeps_the_store_to_its_limit() {
    let place = Place::new(200_000);
    let config = place.path("config.toml");
    fs::write(&config, "[store]\nmax_size = '300k'\n").unwrap();
    let config = config.to_str().unwrap();
    let first = place.run(&["convert", &place.image(), "--config", config]).ok();
    assert!(fs::exists(&first).unwrap());
    let answer = place.run(&["convert", &place.image(), "--config", config, "--level", "5"]);
    assert!(answer.stderr.contains("the store may have 307.2 kB"), "{answer}");
    let second = answer.ok();
    assert!(fs::exists(&second).unwrap() && !fs::exists(&first).unwrap());
    fs::write(place.path("config.toml"), "[store]\nmax_size = '1k'\n").unwrap();
    let answer = place.run(&["convert", &place.image(), "--config", config]);
    assert!(answer.stderr.contains("more than its limit of 1.0 kB"), "{answer}");
    assert!(fs::exists(answer.ok()).unwrap());
}

#[test]
fn the_image_of_a_job_stays_until_the_job_has_ended() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let id = home.ok(&["submit", &image, "--", "sh", "-c", "while :; do sleep 1; done"]);
    let prune = || home.run(&["cache", "prune", "--max-size", "0", "--json"]).exits(0).json();
    let sifs = || fs::read_dir(home.path("cache/sifs/sha256")).unwrap().count();
    let kept = prune();
    assert_eq!((kept["needed"].as_u64(), sifs()), (Some(1), 1), "{kept}");
    let listed = home.run(&["cache", "ls", "--json"]).exits(0).json();
    let sif = listed["items"].as_array().unwrap().iter().find(|i| i["kind"] == "sif").unwrap();
    assert_eq!(sif["jobs"][0], id);
    home.run(&["cancel", &id]).exits(0);
    // nobody but prune asks the engine
    until("the job has ended", 60, || (prune()["needed"] == 0).then_some(()));
    assert_eq!((sifs(), fs::read_dir(home.path("cache/marks")).unwrap().count()), (0, 0));
}
