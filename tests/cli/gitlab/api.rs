//! With a token that may read the API, and with none.

use serde_json::{Value, json};

use crate::gitlab::common::{FEATURE, NEW, OLD, PROJECT, TAGGED, World, masked};

const P: &[&str] = &["resolve", "--project", PROJECT];

fn resolve<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [P, more].concat()
}

#[test]
fn every_selector_finds_its_image() {
    let world = World::new();
    let digests = [OLD, NEW, FEATURE, TAGGED].map(|sha| world.push("", sha, &[&sha[..8]]));
    let [old, new, feature, tagged] = digests;
    for (flags, digest) in [
        (&[][..], new),
        (&["--ref", "main"], new),
        (&["--ref", "v1.0"], tagged),
        (&["--commit", OLD], old),
        (&["--commit", "aaaaaaaa"], old),
        (&["--pipeline", "10"], old),
        (&["--pipeline", "latest"], new),
        (&["--pipeline", "latest", "--ref", "v1.0"], tagged),
        (&["--job", "build"], new),
        (&["--job", "extra"], old),
        (&["--mr", "7"], feature),
        (&["--release", "v1.0"], tagged),
    ] {
        world.with_api(&resolve(flags)).is("", digest);
    }
}

#[test]
fn the_pin_says_where_it_came_from() {
    let world = World::built();
    let answer = world.with_api(&[&["--json"], P, &["--pipeline", "20"]].concat());
    let value: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(
        value["origin"],
        json!({
            "project": PROJECT,
            "commit": NEW,
            "ref": "main",
            "pipeline": 20,
            "evidence": {
                "commit": "api, label",
                "image": "convention",
                "pipeline": "api",
                "project": "api, label",
                "ref": "api",
            },
        })
    );
    assert_eq!(value["warnings"], json!([]));
    let said = world.with_api(&resolve(&["--job", "extra"]));
    said.says(&["known by commit: api, label; image: convention; job: api; pipeline: api"]);
}

#[test]
fn several_images_are_an_error_with_their_names() {
    let world = World::new();
    let own = world.push("", NEW, &["bbbbbbbb", NEW]);
    let labels = json!({});
    let tool = world.push_labelled("tool", "tool", &labels, &["bbbbbbbb"]);
    let ambiguous = world.with_api(&resolve(&["--pipeline", "20"]));
    ambiguous.fails(2, &["is ambiguous", &own.to_string(), &tool.to_string(), "--repository"]);
    snapbox::assert_data_eq!(
        masked(&ambiguous.err),
        snapbox::file!["../../golden/gitlab/ambiguous.txt"].raw()
    );
    world.with_api(&resolve(&["--pipeline", "20", "--repository", "tool"])).is("tool", tool);
    // the same image in two repositories is one image
    world.push("copy", OLD, &["aaaaaaaa"]);
    let one = world.push("", OLD, &["aaaaaaaa"]);
    world.with_api(&resolve(&["--pipeline", "10"])).is("", one);
}

#[test]
fn labels_that_contradict_are_reported() {
    let world = World::new();
    let labels = json!({
        "org.opencontainers.image.revision": OLD,
        "org.opencontainers.image.source": "https://gitlab.example/other/project",
    });
    let digest = world.push_labelled("", "x", &labels, &["bbbbbbbb"]);
    let answer = world.with_api(&resolve(&["--pipeline", "20"]));
    answer.is("", digest);
    let warnings: Vec<&str> = answer.err.lines().filter(|l| l.starts_with("warning")).collect();
    snapbox::assert_data_eq!(
        warnings.join("\n") + "\n",
        snapbox::file!["../../golden/gitlab/contradiction.txt"].raw()
    );
    let json = world.with_api(&[&["--json"], P, &["--pipeline", "20"]].concat());
    let value: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["warnings"].as_array().unwrap().len(), 2);
    assert_eq!(value["origin"]["evidence"]["commit"], "api");
}

#[test]
fn a_branchs_own_tag_that_moved_on_is_said() {
    let world = World::new();
    let new = world.push("", NEW, &["bbbbbbbb"]);
    world.push_labelled("", "later", &json!({}), &["main"]);
    let answer = world.with_api(&resolve(&["--ref", "main"]));
    answer.is("", new).says(&["gitlab.example/group/project:main is another image now"]);
    // without a commit's tag the branch's counts, for a commit only when the label says so
    world.untag("", "bbbbbbbb");
    assert_eq!(world.with_api(&resolve(&["--ref", "main"])).code, 0);
    world.with_api(&resolve(&["--pipeline", "20"])).fails(3, &["no image"]);
    let labelled = world.push("", NEW, &["main"]);
    world.with_api(&resolve(&["--pipeline", "20"])).is("", labelled);
}

#[test]
fn what_is_not_there_is_named() {
    let world = World::built();
    world.with_api(&resolve(&["--pipeline", "99"])).fails(3, &["pipeline 99 of group/project"]);
    world.with_api(&resolve(&["--job", "deploy"])).fails(3, &["no successful job \"deploy\""]);
    world.with_api(&resolve(&["--ref", "gone"])).fails(3, &["no successful pipeline of gone"]);
    world.with_api(&resolve(&["--mr", "8"])).fails(11, &["comes from another project"]);
    world.untag("", "bbbbbbbb");
    let none = world.with_api(&resolve(&["--pipeline", "20"]));
    none.fails(3, &["no image of pipeline 20"]);
    snapbox::assert_data_eq!(
        masked(&none.err),
        snapbox::file!["../../golden/gitlab/no-image.txt"].raw()
    );
}

#[test]
fn a_deploy_token_alone_has_the_conventions() {
    let world = World::built();
    let main = world.push("", NEW, &["main", "latest"]);
    let tagged = world.push("", TAGGED, &["v1.0"]);
    for (flags, digest) in [
        (&[][..], main),
        (&["--ref", "main"], main),
        (&["--release", "v1.0"], tagged),
        (&["--commit", NEW], main),
    ] {
        let answer = world.moorline(&resolve(flags), &[]);
        answer.is("", digest).says(&["GitLab's API was not asked", "commit: "]);
    }
    let json = world.moorline(&[&["--json"], P, &["--ref", "main"]].concat(), &[]);
    let value: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["origin"]["commit"], NEW);
    assert_eq!(value["origin"]["evidence"]["commit"], "label");
    assert_eq!(value["origin"]["evidence"]["ref"], "convention");
    let needs = world.moorline(&resolve(&["--pipeline", "20"]), &[]);
    needs.fails(4, &["known to GitLab's API only"]);
    snapbox::assert_data_eq!(
        masked(&needs.err),
        snapbox::file!["../../golden/gitlab/needs-api.txt"].raw()
    );
    for flags in [&["--mr", "7"], &["--job", "build"], &["--pipeline", "latest"]] {
        world.moorline(&resolve(flags), &[]).fails(4, &["read_api"]);
    }
}

#[test]
fn wrong_words() {
    let world = World::new();
    world.moorline(&["resolve"], &[]).fails(2, &["no image was named"]);
    world.moorline(&["resolve", "--ref", "main"], &[]).fails(2, &["no project was named"]);
    world.moorline(&["resolve", "x:1", "--project", PROJECT], &[]).fails(2, &["named twice"]);
    world.moorline(&resolve(&["--commit", "main"]), &[]).fails(2, &["is not a commit"]);
    world
        .moorline(&resolve(&["--commit", "aaaaaaaa", "--ref", "x"]), &[])
        .fails(2, &["cannot be used with"]);
    world
        .moorline(&resolve(&["--pipeline", "new"]), &[])
        .fails(2, &["write its number, or latest"]);
    world.moorline(&["resolve", "--project", "project"], &[]).fails(2, &["group/project"]);
    world.moorline(&["run", "--", "true"], &[]).fails(2, &["no image was named"]);
}
