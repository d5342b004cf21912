//! Inside a job: no argument, a digest file, a dotenv report.

use crate::gitlab::common::{NEW, PROJECT, World};

#[test]
fn no_argument_is_what_this_pipeline_built() {
    let world = World::built();
    let new = world.push("", NEW, &["bbbbbbbb"]);
    let answer = world.in_ci(&["resolve"], &[]);
    answer.is("", new).says(&["commit: ci-environment, label; image: convention"]);
    // Auto DevOps puts branches into a repository of their own
    world.untag("", "bbbbbbbb");
    let auto = world.push("main", NEW, &[NEW]);
    world.in_ci(&["resolve"], &[]).is("main", auto);
    world.untag("main", NEW);
    world.in_ci(&["resolve"], &[]).fails(3, &["no image of pipeline 20", "main:", ":latest"]);
    let tool = world.push("tool", NEW, &["bbbbbbbb"]);
    world.in_ci(&["resolve", "--repository", "tool"], &[]).is("tool", tool);
}

#[test]
fn a_digest_file_is_asked_for_in_the_registry() {
    let world = World::new();
    let digest = world.push("", NEW, &["whatever"]);
    for text in [
        format!("{digest}\n"),
        format!("{}/{PROJECT}:x@{digest}\n", world.host()),
        format!(r#"{{"containerimage.digest": "{digest}"}}"#),
    ] {
        world.write("project/digest", &text);
        let answer = world.in_ci(&["resolve", "--digest-file", "digest"], &[]);
        answer.is("", digest).says(&["image: digest-file", "commit: ci-environment, label"]);
    }
    let outside = ["resolve", "--digest-file", "digest", "--project", PROJECT];
    world.moorline(&outside, &[]).is("", digest);
    // an image id is not a manifest's digest
    let wrong = format!("sha256:{}", "1".repeat(64));
    world.write("project/digest", &wrong);
    world.in_ci(&["resolve", "--digest-file", "digest"], &[]).fails(3, &[&wrong, "image id"]);
    world.write("project/digest", &format!("{}/other/project@{digest}", world.host()));
    world
        .in_ci(&["resolve", "--digest-file", "digest"], &[])
        .fails(6, &["not below gitlab.example/group/project"]);
    world.write("project/digest", "");
    world.in_ci(&["resolve", "--digest-file", "digest"], &[]).fails(2, &["it is empty"]);
    world.in_ci(&["resolve", "--digest-file", "gone"], &[]).fails(3, &["cannot read"]);
}

#[test]
fn a_dotenv_report_holds_image_and_digest() {
    let world = World::new();
    let digest = world.push("", NEW, &["bbbbbbbb"]);
    let host = world.host();
    world.in_ci(&["resolve", "--dotenv", "m.env"], &[]).is("", digest);
    let expected = format!("MOORLINE_IMAGE={host}/{PROJECT}@{digest}\nMOORLINE_DIGEST={digest}\n");
    assert_eq!(world.read("project/m.env"), expected);
    // a failure leaves the old file
    world.untag("", "bbbbbbbb");
    world.in_ci(&["resolve", "--dotenv", "m.env"], &[]).fails(3, &["no image"]);
    assert_eq!(world.read("project/m.env"), expected);
    let named = format!("{host}/{PROJECT}@{digest}");
    world.moorline(&["resolve", &named, "--dotenv", "n.env"], &[]).is("", digest);
    assert_eq!(world.read("project/n.env"), expected);
    world.moorline(&["resolve", &named, &named, "--dotenv", "n.env"], &[]).fails(2, &["one image"]);
}

#[test]
fn a_broken_environment_is_named() {
    let world = World::new();
    let half = [("CI", "true"), ("CI_PROJECT_PATH", PROJECT)];
    world.moorline(&["resolve"], &half).fails(12, &["CI_REGISTRY_IMAGE is not set"]);
    // a reference needs nothing of CI
    let digest = world.push("", NEW, &["v1"]);
    let named = format!("{}/{PROJECT}:v1", world.host());
    world.moorline(&["resolve", &named], &half).is("", digest);
}
