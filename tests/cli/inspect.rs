//! `tags` and `inspect` against the stand-in.

use crate::support::{Home, PROJECT, Server, images};

#[test]
fn tags_come_with_dates_sizes_and_digests() {
    let server = Server::with_image();
    server.push(PROJECT, &images().1, &["v2"]);
    let home = Home::logged_in(&server);
    let listed = home.run(&["tags", &server.name("")]).exits(0);
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert!(lines[0].starts_with("TAG") && lines.len() == 4, "{}", listed.stdout);
    for tag in ["v1", "v2", "main"] {
        let line = lines.iter().find(|line| line.starts_with(&format!("{tag} "))).unwrap();
        assert!(line.contains("sha256:") && line.contains("MB"), "{line}");
    }
    let values = home.run(&["--json", "tags", "--last", "1", &server.name("")]).exits(0);
    assert!(values.stderr.contains("1 of 3 tags are shown"), "{}", values.stderr);
    let pinned = home.ok(&["resolve", &server.name(":v2")]);
    let all = home.run(&["--json", "tags", &server.name("")]).json();
    let of_v2 = all.as_array().unwrap().iter().find(|row| row["tag"] == "v2").unwrap();
    assert_eq!(of_v2["reference"], pinned.as_str());
    // an image for other machines is a row, and no failure
    let other = home.run(&["tags", "--platform", "linux/s390x", &server.name("")]).exits(0);
    assert!(
        other.stderr.contains("v1: ") && other.stderr.contains("no image for linux/s390x"),
        "{other}"
    );
    // what has no tags, and what is no place of tags
    home.run(&["tags", &server.name("/none")]).fails(3, &["hint:"]);
    home.run(&["tags", "oci:dir"]).fails(2, &["not in a registry"]);
}

#[test]
fn an_image_is_shown_with_command_labels_and_layers() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let name = server.name(":v1");
    let shown = home.run(&["inspect", &name]).exits(0);
    let pinned = home.ok(&["resolve", &name]);
    for part in
        [&format!("image          {pinned}")[..], "platform ", "environment", "layers", "MB"]
    {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    let value = home.run(&["--json", "inspect", &name]).json();
    assert_eq!(value["reference"], pinned.as_str());
    assert!(value["config"]["rootfs"]["diff_ids"].is_array(), "{value}");
    assert!(value["platforms"][0]["architecture"].is_string(), "{value}");
    home.run(&["inspect", &server.name(":gone")]).fails(3, &["gone"]);
}
