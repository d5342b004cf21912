//! `convert --push`, and who uses what was pushed.

use std::fs;

use moorline::oci::{Digest, Sha256Digest, media_type};
use moorline::secret::Secret;
use moorline::standin::{DeployToken, JobToken, Scope, Seen};
use serde_json::{Value, json};

use crate::support::{
    Answer, Home, PROJECT, SECRET, Server, USER, checked_on_read, config, images,
};

const PUSHER: &str = "builder";
const PUSH_SECRET: &str = "gldt-push-8f2c";
const JOB_SECRET: &str = "glcbt-64_running";

/// The project with the demo's images, a token that may push, and a running job.
fn server() -> Server {
    let mut known = config();
    known.deploy_tokens.push(DeployToken {
        username: PUSHER.into(),
        secret: Secret::new(PUSH_SECRET.into()),
        scopes: vec![Scope::ReadRegistry, Scope::WriteRegistry],
        project: Some(PROJECT.into()),
        group: None,
    });
    known
        .job_tokens
        .push(JobToken { secret: Secret::new(JOB_SECRET.into()), project: PROJECT.into() });
    let server = Server::start(known);
    server.push(PROJECT, &images().0, &["v1"]);
    server.push(PROJECT, &images().1, &["v2"]);
    server
}

/// Who builds: a home with a key of its own, and the key that others check with.
fn builder(server: &Server) -> (Home, String) {
    let home = Home::new(server);
    home.login(&server.name(""), PUSHER, PUSH_SECRET).exits(0);
    let public = home.ok(&["cache", "key", &file(&home)]);
    (home, public)
}

fn file(home: &Home) -> String {
    home.path("key").display().to_string()
}

/// Who runs jobs, and believes these keys.
fn user(server: &Server, keys: &[&str], more: &str) -> Home {
    let home = Home::logged_in(server);
    let text = format!(
        "insecure_registries = [\"{}\"]\n[registry_sifs]\nkeys = {}\n{more}",
        server.address(),
        json!(keys)
    );
    home.write("config/moorline/config.toml", &text);
    home
}

/// What was asked since.
fn since(server: &Server, before: usize) -> Vec<Seen> {
    server.running.seen().split_off(before)
}

fn is_tag(text: &str) -> bool {
    text.rsplit_once('.').is_some_and(|(_, last)| last == "sif")
}

/// Whether somebody asked for a SIF beside an image.
fn is_look_up(seen: &Seen) -> bool {
    seen.target.contains("/manifests/sha256-") && is_tag(&seen.target)
}

fn pushed(home: &Home, server: &Server, image: &str, signed: bool) -> Value {
    let (image, to, key) = (server.name(image), server.name(""), file(home));
    let mut args = vec!["--json", "convert", &image, "--push", &to];
    if signed {
        args.extend(["--signing-key", &key]);
    }
    home.run(&args).exits(0).json()
}

#[test]
fn a_pushed_sif_is_taken_instead_of_converting() {
    let server = server();
    let (builder, public) = builder(&server);
    let made = pushed(&builder, &server, ":v1", true);
    let tag = made["pushed"]["tags"][0].as_str().unwrap();
    let manifest = &images().0.manifest_digest;
    assert!(tag.starts_with(&manifest.to_string().replace(':', "-")) && is_tag(tag), "{tag}");
    assert_eq!(
        (&made["pushed"]["signed_by"], &made["pushed"]["sent"]),
        (&json!(public), &json!(true))
    );

    let home = user(&server, &[&public], "");
    let before = server.running.seen().len();
    let taken = home.run(&["--json", "convert", &server.name(":v1")]).exits(0);
    assert!(taken.stderr.contains(&format!("signed by {public}")), "{taken}");
    let taken = taken.json();
    for key in ["sif", "size", "manifest", "recipe"] {
        assert_eq!(taken[key], made[key], "{key}");
    }
    assert_eq!((&taken["known"], &taken["signed_by"]), (&json!(false), &json!(public)));
    let counters = &taken["counters"];
    assert_eq!((&counters["sifs_fetched"], &counters["layers_fetched"]), (&json!(1), &json!(0)));
    let bytes = fs::read(taken["path"].as_str().unwrap()).unwrap();
    assert_eq!(taken["sif"], Digest::of(&bytes).to_string());
    // of the image itself no layer was asked for
    let asked = since(&server, before);
    for layer in &images().0.layers {
        let digest = Digest::of(&layer.bytes);
        assert!(asked.iter().all(|seen| !seen.target.contains(&digest.to_string())), "{asked:?}");
    }
    // it is known from now on, without the network
    let before = server.running.seen().len();
    let digest = server.name(&format!("@{manifest}"));
    let again = home.run(&["--json", "convert", &digest]).exits(0).json();
    assert_eq!((&again["known"], &again["signed_by"]), (&json!(true), &json!(public)));
    assert_eq!(since(&server, before), []);
    // also when its signer is trusted no longer, but then that is said
    let text = format!("insecure_registries = [\"{}\"]\n", server.address());
    home.write("config/moorline/config.toml", &text);
    for image in [&digest, &server.name(":v1")] {
        let answer = home.run(&["convert", image]).exits(0);
        assert!(answer.stderr.contains(&format!("on the word of {public}")), "{answer}");
    }
    // and is what the image converts to
    home.ok(&["verify", taken["path"].as_str().unwrap(), "--from", &server.name("")]);

    // a job's image comes the same way
    let other = user(&server, &[&public], "");
    let before = server.running.seen().len();
    other.run(&["submit", "--dry-run", &server.name(":v1"), "--", "true"]).exits(0);
    let sif = made["sif"].as_str().unwrap();
    assert!(since(&server, before).iter().any(|seen| seen.target.contains(sif)));
    // and is checked when it is read, because its signer signed the tree, too
    let (job, code) = other.job_of(&["--runtime", "builtin"], &server.name(":v1"), "exit 3");
    assert_eq!(code, 3);
    checked_on_read(&other, &job);
}

#[test]
fn without_a_key_or_when_it_is_off_nobody_is_asked() {
    let server = server();
    let (builder, public) = builder(&server);
    pushed(&builder, &server, ":v1", true);
    for home in [user(&server, &[], ""), user(&server, &[&public], "look_up = false\n")] {
        let before = server.running.seen().len();
        let made = home.run(&["--json", "convert", &server.name(":v1")]).exits(0).json();
        assert_eq!(
            (&made["counters"]["sifs_fetched"], &made["signed_by"]),
            (&json!(0), &Value::Null)
        );
        let asked = since(&server, before);
        assert!(asked.iter().all(|seen| !is_look_up(seen)), "{asked:?}");
    }
    // where there is none it costs one HEAD
    let home = user(&server, &[&public], "");
    let before = server.running.seen().len();
    home.ok(&["convert", &server.name(":v2")]);
    let asked = since(&server, before);
    let looked: Vec<_> = asked.iter().filter(|seen| is_look_up(seen)).collect();
    assert_eq!(looked.len(), 1, "{asked:?}");
    assert_eq!((looked[0].method.as_str(), looked[0].status), ("HEAD", 404));
    // a cloned repository decides nothing of it
    home.write("here/moorline.toml", &format!("[registry_sifs]\nkeys = [\"{public}\"]\n"));
    home.run(&["convert", &server.name(":v2")]).fails(12, &["registry_sifs.keys"]);
}

/// Each lie ends in the image converted here, and nothing else in the store.
#[test]
fn a_lying_registry_is_not_believed() {
    let server = server();
    let (builder, public) = builder(&server);
    let right = pushed(&builder, &server, ":v1", false);
    let (tag, sif) = (right["pushed"]["tags"][0].as_str().unwrap(), right["sif"].as_str().unwrap());
    let store = server.running.images();
    let try_it = |keys: &[&str]| -> Answer {
        let home = user(&server, keys, "");
        let answer = home.run(&["--json", "convert", &server.name(":v1")]).exits(0);
        let made = answer.json();
        assert_eq!((&made["sif"], &made["signed_by"]), (&json!(sif), &Value::Null), "{answer}");
        assert_eq!(made["counters"]["sifs_fetched"], 0, "{answer}");
        let names = fs::read_dir(home.path("cache/sifs/sha256")).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [format!("{}.sif", &sif[7..]).as_str()], "{answer}");
        assert_eq!(fs::read_dir(home.path("cache/tmp")).unwrap().count(), 0, "{answer}");
        home.run(&["cache", "verify"]).exits(0);
        answer
    };
    let warned = |answer: Answer, words: &[&str]| {
        let warnings: Vec<_> =
            answer.stderr.lines().filter(|l| l.starts_with("warning:")).collect();
        assert_eq!(warnings.len(), 1, "{answer}");
        for word in words {
            assert!(warnings[0].contains(word), "{word:?} is missing: {answer}");
        }
    };

    // not signed, but what is made here is the same: nothing to say
    assert!(!try_it(&[&public]).stderr.contains("warning:"));
    // signed by a stranger: the same
    let stranger = Home::new(&server);
    stranger.login(&server.name(""), PUSHER, PUSH_SECRET).exits(0);
    stranger.ok(&["cache", "key", &file(&stranger)]);
    pushed(&stranger, &server, ":v1", true);
    assert!(!try_it(&[&public]).stderr.contains("warning:"));

    // another SIF, signed by nobody, by a stranger
    let artifact = |bytes: &[u8], signed: Option<&str>| {
        let digest = store.put_blob(bytes.to_vec());
        let config = store.put_blob(b"{}".to_vec());
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": { "mediaType": media_type::SIF_CONFIG, "digest": config, "size": 2 },
            "layers": [{ "mediaType": media_type::SIF_LAYER, "digest": digest, "size": bytes.len() }],
        });
        if let Some(text) = signed {
            manifest["annotations"] = json!({ "io.moorline.signed": text });
        }
        let kind = media_type::OCI_MANIFEST;
        let made = store.put_manifest(PROJECT, kind, manifest.to_string().into_bytes());
        store.tag(PROJECT, tag, made);
    };
    artifact(b"another", None);
    warned(try_it(&[&public]), &["it is not signed", "converted here"]);
    artifact(b"another", Some("{\"schema\":1}"));
    warned(try_it(&[&public]), &["signature", "converted here"]);

    // what a good key said of another SIF, of another image, of less bytes
    let (_, statement) = signed_statement(&server, &builder, ":v2");
    artifact(b"another", Some(&statement));
    warned(try_it(&[&public]), &["another image"]);
    let (digest, statement) = signed_statement(&server, &builder, ":v1");
    artifact(b"another", Some(&statement));
    warned(try_it(&[&public]), &["another SIF"]);
    // the right artifact, and other bytes behind its digest
    pushed(&builder, &server, ":v1", true);
    let whole = fs::read(right["path"].as_str().unwrap()).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for lie in [flipped, whole[1..].to_vec(), [whole.as_slice(), b"x"].concat(), Vec::new()] {
        store.lie(&digest, lie);
        warned(try_it(&[&public]), &["is not used", "corrupt"]);
    }
    // the image itself under the name, and nonsense
    store.tag(PROJECT, tag, images().0.manifest_digest);
    warned(try_it(&[&public]), &["is not used", "configuration"]);
    let nonsense = store.put_manifest(PROJECT, media_type::OCI_MANIFEST, b"nonsense".to_vec());
    store.tag(PROJECT, tag, nonsense);
    warned(try_it(&[&public]), &["is not used", "it is not a manifest"]);
}

/// The digest of an image's SIF, and the statement that lies in the registry for it.
fn signed_statement(server: &Server, builder: &Home, image: &str) -> (Digest, String) {
    let made = pushed(builder, server, image, true);
    let reference = made["pushed"]["reference"].as_str().unwrap();
    let artifact: Digest = reference.rsplit_once('@').unwrap().1.parse().unwrap();
    let bytes = server.running.images().stored(PROJECT, &artifact).unwrap();
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    let text = document["annotations"]["io.moorline.signed"].as_str().unwrap().to_owned();
    (made["sif"].as_str().unwrap().parse().unwrap(), text)
}

#[test]
fn a_signed_sif_that_says_otherwise_is_not_stored() {
    let server = server();
    let (builder, public) = builder(&server);
    // the key's owner was led to vouch for v2's SIF under v1's name
    let other = pushed(&builder, &server, ":v2", false);
    let key = moorline::sign::SigningKey::read(&builder.path("key")).unwrap();
    let right = pushed(&builder, &server, ":v1", true);
    let tag = right["pushed"]["tags"][0].as_str().unwrap();
    let (_, text) = signed_statement(&server, &builder, ":v1");
    let signed: moorline::sign::Signed = serde_json::from_str(&text).unwrap();
    let mut said = signed.claim().clone();
    said.sif = other["sif"].as_str().unwrap().parse().unwrap();
    said.size = other["size"].as_u64().unwrap();
    let text = serde_json::to_string(&key.sign(said)).unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": { "mediaType": media_type::SIF_CONFIG, "digest": server.running.images().put_blob(b"{}".to_vec()), "size": 2 },
        "layers": [{ "mediaType": media_type::SIF_LAYER, "digest": other["sif"], "size": other["size"] }],
        "annotations": { "io.moorline.signed": text },
    });
    let store = server.running.images();
    let made =
        store.put_manifest(PROJECT, media_type::OCI_MANIFEST, manifest.to_string().into_bytes());
    store.tag(PROJECT, tag, made);
    let home = user(&server, &[&public], "");
    let answer = home.run(&["--json", "convert", &server.name(":v1")]).exits(0);
    assert!(answer.stderr.contains("it says that it was made from"), "{answer}");
    assert_eq!(answer.json()["sif"], right["sif"]);
    assert_eq!(fs::read_dir(home.path("cache/sifs/sha256")).unwrap().count(), 1);
}

#[test]
fn resolve_tells_what_lies_beside() {
    let server = server();
    let (builder, public) = builder(&server);
    let made = pushed(&builder, &server, ":v1", true);
    let ask = |home: &Home, words: &[&str]| {
        home.run(&[&["--json", "resolve"], words].concat()).exits(0).json()
    };
    let (v1, v2) = (server.name(":v1"), server.name(":v2"));
    let home = user(&server, &[&public], "");
    let both = ask(&home, &["--sif", &v1, &v2]);
    let found = &both[0]["registry_sif"];
    assert_eq!((&found["digest"], &found["size"]), (&made["sif"], &made["size"]));
    assert_eq!((&found["signed_by"], &found["why"]), (&json!(public), &Value::Null));
    assert_eq!(both[1]["registry_sif"], Value::Null);
    // what it names can be used
    home.ok(&["resolve", found["reference"].as_str().unwrap()]);
    // without the flag nothing more is asked
    let before = server.running.seen().len();
    assert!(ask(&home, &[&v1]).get("registry_sif").is_none());
    assert!(since(&server, before).iter().all(|seen| !is_look_up(seen)));
    // who believes nobody is told why it would not be used
    let doubter = ask(&Home::logged_in(&server), &["--sif", &v1]);
    assert!(doubter["registry_sif"]["why"].as_str().unwrap().contains(&public));
}

#[test]
fn a_ci_job_pushes_with_its_own_token() {
    let server = server();
    let home = Home::new(&server)
        .with("CI_REGISTRY", &server.address())
        .with("CI_REGISTRY_USER", "gitlab-ci-token")
        .with("CI_REGISTRY_PASSWORD", JOB_SECRET)
        .with("CI_JOB_TOKEN", JOB_SECRET)
        .with("CI_SERVER_URL", &format!("http://{}", server.address()));
    home.ok(&["cache", "key", &file(&home)]);
    let args = [
        "convert",
        &server.name(":v1"),
        "--push",
        &server.name(":v1-sif"),
        "--signing-key",
        &file(&home),
    ];
    let answer = home.run(&args).exits(0);
    assert!(answer.stderr.contains(&format!("oras://{}", server.name(":v1-sif"))), "{answer}");
    // again: nothing is sent twice
    let again = home.run(&args).exits(0);
    assert!(again.stderr.contains("there already"), "{again}");
    let puts = |seen: &Seen| seen.method == "PATCH";
    assert_eq!(
        server.running.seen().iter().filter(|seen| puts(seen)).count(),
        2,
        "SIF and its words"
    );
    home.ok(&["resolve", &format!("oras://{}", server.name(":v1-sif"))]);
    assert!(!answer.stderr.contains(JOB_SECRET));
}

#[test]
fn what_cannot_be_pushed_is_said() {
    let server = server();
    let home = Home::logged_in(&server);
    let (image, to, key) = (server.name(":v1"), server.name(""), file(&home));
    home.run(&["convert", &image, "--push", &to])
        .fails(4, &["may not be written to", USER, "write_registry"]);
    let digest = server.name(&format!("@{}", images().0.manifest_digest));
    home.run(&["convert", &image, "--push", &digest])
        .fails(2, &["digest", "--push registry/group/project"]);
    home.run(&["convert", &image, "--push", "/etc"]).fails(2, &["--push /etc"]);
    // before anything is converted
    let before = server.running.seen().len();
    home.run(&["convert", &image, "--push", &to, "--signing-key", &key])
        .fails(12, &["cannot read the key"]);
    assert_eq!(since(&server, before), []);
    let answer = home.run(&["convert", &image, "--signing-key", &key]).exits(2);
    assert!(answer.stderr.contains("--push") && answer.stderr.contains("--site"), "{answer}");
    assert!(!answer.stderr.contains(SECRET));
}
