//! The site's store: published by one account, signed, used by others when the registry lets them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{Home, Server, checked_on_read, walk};

/// Where the site's store is, and the key that is trusted.
fn configure(home: &Home, server: &Server, site: &Path, key: &str) {
    let uid = rustix::process::geteuid().as_raw();
    let text = format!(
        "insecure_registries = [\"{}\"]\n[store]\nsite = \"{}\"\nsite_owner = {uid}\nsite_keys = [\"{key}\"]\n",
        server.address(),
        site.display()
    );
    home.write("config/moorline/config.toml", &text);
}

fn file(dir: &Path, ends: &str) -> PathBuf {
    let mut found = None;
    walk(dir, &mut |path, _| {
        if path.to_str().unwrap().ends_with(ends) {
            found = Some(path.to_owned());
        }
    });
    found.unwrap()
}

#[test]
fn a_site_image_is_used_when_it_is_signed_and_the_registry_agrees() {
    let server = Server::with_image();
    let dir = tempfile::Builder::new().prefix("moorline-site-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let image = server.name(":v1");

    let publisher = Home::logged_in(&server);
    let secret = publisher.path("key").display().to_string();
    let key = publisher.ok(&["cache", "key", &secret]);
    configure(&publisher, &server, dir.path(), &key);
    let own = publisher.ok(&["convert", &image, "--site", "--signing-key", &secret]);
    let published = file(dir.path(), ".sif");
    assert_eq!(fs::read(&own).unwrap(), fs::read(&published).unwrap());
    assert_eq!(fs::metadata(&published).unwrap().permissions().mode() & 0o7777, 0o444);
    assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);

    // another user takes it from there
    let user = Home::logged_in(&server);
    configure(&user, &server, dir.path(), &key);
    let pinned = user.ok(&["resolve", &image]);
    assert_eq!(user.ok(&["convert", &pinned]), published.to_str().unwrap());
    assert!(
        !user.path("cache/sifs").exists()
            || fs::read_dir(user.path("cache/sifs/sha256")).unwrap().count() == 0
    );

    // and each block is checked when it is read, because its signer signed the tree, too
    let (job, code) = user.job_of(&["--runtime", "builtin"], &pinned, "exit 3");
    assert_eq!(code, 3);
    checked_on_read(&user, &job);

    // one whom the registry does not let see it gets nothing, although the digest is known
    let stranger = Home::new(&server);
    configure(&stranger, &server, dir.path(), &key);
    let answer = stranger.run(&["convert", &pinned]);
    assert!([3, 4].contains(&answer.code) && answer.stdout.is_empty(), "{answer}");

    // nobody trusts the key: the image is converted here, and the reason is said
    let other = user.ok(&["cache", "key", &user.path("other").display().to_string()]);
    configure(&user, &server, dir.path(), &other);
    let answer = user.run(&["convert", &pinned]).exits(0);
    assert!(answer.stderr.contains("not one of the configured keys"), "{answer}");
    assert_ne!(answer.stdout.trim(), published.to_str().unwrap());

    // what was tampered with, or lies open, is refused by its name
    let statement = file(dir.path(), ".sig.json");
    let said = fs::read_to_string(&statement).unwrap();
    let name = statement.file_name().unwrap().to_str().unwrap();
    let home = |text: &str, mode: u32| {
        fs::remove_file(&statement).unwrap();
        fs::write(&statement, text).unwrap();
        fs::set_permissions(&statement, fs::Permissions::from_mode(mode)).unwrap();
        let home = Home::logged_in(&server);
        configure(&home, &server, dir.path(), &key);
        home.run(&["convert", &pinned]).exits(0)
    };
    let answer = home(&said.replace("\"size\":", "\"size\":1"), 0o444);
    assert!(
        answer.stderr.contains("signature is wrong") && answer.stderr.contains(name),
        "{answer}"
    );
    let answer = home(&said, 0o666);
    assert!(answer.stderr.contains("others may write") && answer.stderr.contains(name), "{answer}");
    let answer = home("{}", 0o444);
    assert!(answer.stderr.contains("malformed") && answer.stderr.contains(name), "{answer}");
    assert_eq!(home(&said, 0o444).ok(), published.to_str().unwrap());
}
