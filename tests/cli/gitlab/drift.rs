//! `audit drift`: jobs of a ledger, and what became of their images.

use std::os::unix::fs::PermissionsExt;

use moorline::job::JobId;
use moorline::ledger::{Ledger, Recorded};
use moorline::oci::{Digest, Sha256Digest, SifDigest, media_type};
use moorline::pin::{Image, Pin, Resolved};
use serde_json::{Value, json};

use crate::gitlab::common::{Answer, NEW, OLD, PROJECT, World, masked, private};
use crate::support::records;

/// The pin of what a tag names now.
fn pin(world: &World, below: &str, tag: &str) -> Pin {
    pin_with(world, below, tag, &[])
}

fn pin_with(world: &World, below: &str, tag: &str, flags: &[&str]) -> Pin {
    let path = if below.is_empty() { PROJECT.into() } else { format!("{PROJECT}/{below}") };
    let what = format!("{}/{path}:{tag}", world.host());
    let answer = world.moorline(&[&["--json", "resolve", &what], flags].concat(), &[]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let out = answer.out.replace("gitlab.example", &world.host());
    serde_json::from_str::<Resolved>(&out).unwrap().pin
}

/// A job in the ledger that was pinned to an image.
fn job(world: &World, n: u8, image: Image) -> JobId {
    let dir = world.path("home/.local/share/moorline/ledger");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
    // as real ids are: they begin with the time of the submission
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
    let id = JobId::from_parts(now, u128::from(n));
    let ids = Recorded { job: id, ..records::entry(u64::from(n)) };
    let mut intent = records::intent(&ids, "local", image);
    intent.spec.name = None;
    Ledger::open(&dir).unwrap().intend(&intent).unwrap();
    id
}

/// What was printed, with names in the place of the jobs' ids.
fn named(answer: &Answer, jobs: [JobId; 3]) -> String {
    let names = jobs.into_iter().zip(["FIRST", "SECOND", "THIRD"]);
    names.fold(masked(&answer.out), |text, (id, name)| text.replace(&id.to_string(), name))
}

fn drift(world: &World, more: &[&str]) -> Answer {
    world.moorline(&[&["audit", "drift"], more].concat(), &[])
}

#[test]
fn jobs_whose_images_changed_are_listed() {
    let world = World::new();
    let empty = drift(&world, &[]);
    assert_eq!((empty.code, empty.out.as_str()), (0, ""));
    world.push("", OLD, &["v1"]);
    world.push("tool", NEW, &["v2"]);
    let (main, tool) = (pin(&world, "", "v1"), pin(&world, "tool", "v2"));
    let first = job(&world, 1, Image::Oci { pin: main.clone() });
    let second = job(&world, 2, Image::Oci { pin: tool });
    let third = job(&world, 3, Image::Oci { pin: main });
    let own = SifDigest::of(b"own");
    job(&world, 4, Image::Sif { pin: None, manifest: None, digest: own, recipe: None, tree: None });
    let answer = drift(&world, &[]);
    assert_eq!((answer.code, answer.out.as_str()), (0, ""), "{}", answer.err);
    answer.says(&["2 images of 4 jobs, 1 job whose image came from no registry: nothing found"]);

    world.push("", "moved", &["v1"]);
    world.untag("tool", "v2");
    let answer = drift(&world, &[]);
    assert_eq!(answer.code, 6, "{}", answer.err);
    let text = named(&answer, [first, second, third]);
    snapbox::assert_data_eq!(text, snapbox::file!["../../golden/drift/jobs.txt"].raw());
    // one job, and none
    let one = drift(&world, &[&second.to_string()]);
    assert_eq!(one.code, 6);
    assert!(!one.out.contains(&first.to_string()), "{}", one.out);
    assert_eq!(drift(&world, &["--since", "2100-01-01"]).code, 0);
    assert_eq!(drift(&world, &["--since", "1d"]).code, 6);
    drift(&world, &["nobody"]).fails(3, &["nobody"]);
    drift(&world, &["--since", "x"]).fails(2, &["30d"]);
    let json = world.moorline(&["--json", "audit", "drift"], &[]);
    assert_eq!(json.code, 6);
    let value: Value = serde_json::from_str(&json.out).unwrap();
    let images = value["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    assert_eq!(images[0]["jobs"].as_array().unwrap().len(), 2);
    assert_eq!(images[0]["findings"][0]["finding"], "tag_moved");
    assert_eq!(
        images[1]["findings"],
        json!([
            { "finding": "tag_gone", "tag": "v2" },
            { "finding": "untagged", "digest": images[1]["findings"][1]["digest"] },
        ])
    );
    assert_eq!(value["without_registry"].as_array().unwrap().len(), 1);
}

#[test]
fn an_index_without_its_child_and_an_image_that_is_gone() {
    let world = World::new();
    let child = world.push("", OLD, &[]);
    let index = |digest: Digest| {
        let text = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_INDEX,
            "manifests": [{
                "mediaType": media_type::OCI_MANIFEST,
                "digest": digest.to_string(),
                "size": 1,
                "platform": { "os": "linux", "architecture": "amd64" },
            }],
        });
        serde_json::to_vec(&text).unwrap()
    };
    let put = |bytes| world.images().put_manifest(PROJECT, media_type::OCI_INDEX, bytes);
    // a pin whose index names a manifest that a garbage collection took
    let gone = Digest::of(b"collected");
    let mut broken = {
        world.push("", NEW, &["v1"]);
        pin(&world, "", "v1")
    };
    broken.index = Some(put(index(gone)));
    broken.manifest = gone;
    world.images().tag(PROJECT, "v1", broken.index.unwrap());
    let first = job(&world, 1, Image::Oci { pin: broken.clone() });
    // one whose index is gone, and the manifest still there
    let mut orphan = broken.clone();
    orphan.index = Some(Digest::of(b"no index"));
    orphan.manifest = child;
    let second = job(&world, 2, Image::Oci { pin: orphan });
    let mut nothing = broken;
    nothing.index = None;
    nothing.manifest = Digest::of(b"nothing");
    let third = job(&world, 3, Image::Oci { pin: nothing });
    let answer = drift(&world, &[]);
    assert_eq!(answer.code, 6, "{}", answer.err);
    let text = named(&answer, [first, second, third]);
    snapbox::assert_data_eq!(text, snapbox::file!["../../golden/drift/gone.txt"].raw());
    // each repository's tags are listed once
    let lists = world.seen().iter().filter(|s| s.target.contains("/tags/list")).count();
    assert_eq!(lists, 1);
}

#[test]
fn a_registry_that_does_not_answer_is_no_finding() {
    let world = World::new();
    world.push("", OLD, &["v1"]);
    let good = pin(&world, "", "v1");
    let mut closed = good.clone();
    closed.repository = "secret/place".parse().unwrap();
    closed.asked.repository = closed.repository.clone();
    job(&world, 1, Image::Oci { pin: closed });
    job(&world, 2, Image::Oci { pin: good });
    let answer = drift(&world, &[]);
    assert_eq!(answer.out, "");
    answer.fails(3, &["was not compared", "secret/place"]);
    let json = world.moorline(&["--json", "audit", "drift"], &[]);
    let value: Value = serde_json::from_str(&json.out).unwrap();
    assert!(value["images"][0]["error"].as_str().unwrap().contains("secret/place"));
    assert_eq!(value["images"][1]["findings"], json!([]));
    // what was found is worse than what could not be asked
    world.push("", "moved", &["v1"]);
    drift(&world, &[]).fails(6, &["was not compared"]);
}

/// Many tags, one of which nobody can read: the image is held as long as one tag leads to it.
#[test]
fn a_repository_with_many_tags() {
    const TAGS: usize = 600;
    const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let world = World::new();
    world.push("", OLD, &["v1"]);
    let old = pin(&world, "", "v1");
    job(&world, 1, Image::Oci { pin: old.clone() });
    let other = world.push("", NEW, &["v1"]);
    for number in 0..TAGS {
        world.images().tag(PROJECT, &format!("t{number:03}"), other);
    }
    let unread = world.images().put_manifest(PROJECT, SCHEMA_1, b"{\"schemaVersion\":1}".to_vec());
    world.images().tag(PROJECT, "schema1", unread);
    let before = world.seen().len();
    let answer = drift(&world, &[]);
    assert_eq!(answer.code, 6, "{}", answer.err);
    assert!(answer.out.contains("no tag holds"), "{}", answer.out);
    let seen = world.seen();
    let bodies = |at: usize| {
        let seen = &seen[at..];
        seen.iter().filter(|s| s.method == "GET" && s.target.contains("/manifests/")).count()
    };
    assert_eq!(bodies(before), 0, "HEAD says what a tag names");
    // the first tag of all: found without a look at the others
    world.images().tag(PROJECT, "a-first", old.manifest);
    let before = world.seen().len();
    let answer = drift(&world, &[]);
    assert!(!answer.out.contains("no tag holds"), "{}", answer.out);
    assert!(world.seen().len() - before < 60, "{}", world.seen().len() - before);
    // and the last one
    world.untag("", "a-first");
    world.images().tag(PROJECT, "z-last", old.manifest);
    assert!(!drift(&world, &[]).out.contains("no tag holds"));
}

/// A private project, opened by a credential for one command.
#[test]
fn a_credential_of_the_command_line_opens_what_jobs_ran() {
    let (world, file) = private();
    let flags = ["--credential-file", file.as_str()];
    // no image, nobody to ask
    drift(&world, &flags).fails(0, &["0 images of 0 jobs"]);
    world.push("", OLD, &["v1"]);
    let mut pin = pin_with(&world, "", "v1", &flags);
    let first = job(&world, 1, Image::Oci { pin: pin.clone() }).to_string();
    drift(&world, &[]).fails(3, &["was not compared"]);
    drift(&world, &flags).fails(0, &["1 image of 1 job: nothing found"]);
    world.push("", "moved", &["v1"]);
    drift(&world, &flags).fails(6, &[]);
    // it is for one registry, and which one of two is not guessed
    pin.registry = "other.example".parse().unwrap();
    pin.asked.registry = pin.registry.clone();
    job(&world, 2, Image::Oci { pin });
    let seen = world.seen().len();
    drift(&world, &flags).fails(2, &["images of one registry"]);
    assert_eq!(world.seen().len(), seen, "no request");
    drift(&world, &[&flags[..], &[&first]].concat()).fails(6, &[]);
}
