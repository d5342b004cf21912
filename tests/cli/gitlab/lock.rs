//! moorline.lock: written, checked, required.

use serde_json::{Value, json};

use crate::gitlab::common::{NEW, OLD, PROJECT, World, masked, private};

fn world() -> World {
    let world = World::new();
    world.push("", OLD, &["v1"]);
    world.push("tool", NEW, &["v2"]);
    world.write(
        "project/moorline.toml",
        &format!("[images]\ntool = \"{PROJECT}/tool:v2\"\nmain = \"{PROJECT}:v1\"\n"),
    );
    world
}

/// The lock's lines that hold digests or names.
fn names(world: &World) -> Vec<String> {
    let text = world.read("project/moorline.lock");
    text.lines().filter_map(|l| l.strip_prefix("name = ")).map(str::to_owned).collect()
}

#[test]
fn it_is_sorted_and_stays_when_nothing_moved() {
    let world = world();
    let answer = world.moorline(&["lock"], &[]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    answer.says(&["locked main gitlab.example/group/project@sha256:", "2 pins, 2 new"]);
    assert_eq!(names(&world), ["\"main\"", "\"tool\""]);
    let before = world.read("project/moorline.lock");
    world.moorline(&["lock"], &[]).says(&["2 pins, 0 new"]);
    assert_eq!(world.read("project/moorline.lock"), before);
    assert_eq!(world.moorline(&["lock", "--check"], &[]).code, 0);
    assert_eq!(world.moorline(&["lock", "--check", "--remote"], &[]).code, 0);
}

#[test]
fn a_pin_keeps_its_origin() {
    let world = world();
    world.moorline(&["lock"], &[]);
    let text = world.read("project/moorline.lock").replace(&world.host(), "gitlab.example");
    let dated = |line: &str| line.starts_with("resolved_at = ");
    let lines: Vec<&str> =
        text.lines().map(|l| if dated(l) { "resolved_at = \"...\"" } else { l }).collect();
    snapbox::assert_data_eq!(
        masked(&(lines.join("\n") + "\n")),
        snapbox::file!["../../golden/lock/origin.toml"].raw()
    );
    // a file of before has none; it is read, and the origin is added without another change
    let before = world.read("project/moorline.lock");
    let cut = before.find("\n[image.origin]").unwrap();
    let next = before[cut + 1..].find("\n[[image]]").unwrap() + cut + 1;
    world.write("project/moorline.lock", &format!("{}{}", &before[..cut], &before[next..]));
    assert_eq!(world.moorline(&["lock", "--check", "--remote"], &[]).code, 0);
    world.moorline(&["lock", "--update"], &[]).says(&["2 pins, 0 new"]);
    assert_eq!(world.read("project/moorline.lock"), before);
}

#[test]
fn a_pin_stays_until_it_is_moved_and_jobs_take_it() {
    let world = world();
    world.moorline(&["lock"], &[]);
    let before = world.read("project/moorline.lock");
    let moved = world.push("", "main has moved", &["v1"]);
    let seen = world.seen().len();
    world.moorline(&["lock"], &[]).says(&["2 pins, 0 new, 2 kept", "--update"]);
    assert_eq!(world.read("project/moorline.lock"), before);
    assert_eq!(world.seen().len(), seen, "no request");
    // a name that is new is added, and the others stay
    let toml = world.read("project/moorline.toml");
    world.write("project/moorline.toml", &format!("{toml}again = \"{PROJECT}:v1\"\n"));
    world.moorline(&["lock"], &[]).says(&["3 pins, 1 new, 2 kept"]);
    // a job of the name takes the pin and says so; the reference itself is asked for
    let dry = |what: &str| world.moorline(&["submit", "--dry-run", what, "--", "true"], &[]);
    let job = dry("main");
    job.says(&["main: the pin of moorline.lock is taken; moorline lock --update main moves it"]);
    assert!(!job.err.contains(&moved.to_string()), "{}", job.err);
    assert!(dry(&format!("{PROJECT}:v1")).err.contains(&moved.to_string()));
    // a name that stands for something else by now is resolved, and that is said
    world.write("project/moorline.toml", &toml.replace(":v1", ":latest-of-test"));
    world.push("", "another", &["latest-of-test"]);
    dry("main").says(&["pins main for something else"]);
    world.write("project/moorline.toml", &toml);
    world.moorline(&["lock", "--update"], &[]).says(&["2 pins, 1 new"]);
    assert!(world.read("project/moorline.lock").contains(&moved.to_string()));
}

#[test]
fn a_name_can_stand_for_what_ci_built() {
    let world = World::built();
    let toml = |git_ref: &str| {
        format!("[images]\nmain = {{ project = \"{PROJECT}\", ref = \"{git_ref}\" }}\n")
    };
    world.write("project/moorline.toml", &toml("main"));
    let answer = world.with_api(&["lock"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let text = world.read("project/moorline.lock");
    for line in ["schema = 2", "[image.from]", "pipeline = 20", "pipeline = \"api\""] {
        assert!(text.lines().any(|l| l == line), "{line} is not in {text}");
    }
    // without the API's token the same image keeps what was known of it
    world.push("", NEW, &["main"]);
    world.moorline(&["lock", "--update"], &[]).says(&["1 pin, 0 new"]);
    let again = world.read("project/moorline.lock");
    assert_eq!(again, text);
    let seen = world.seen().len();
    assert_eq!(world.moorline(&["lock", "--check"], &[]).code, 0);
    assert_eq!(world.seen().len(), seen, "no request");
    let resolved = world.with_api(&["resolve", "main"]);
    assert_eq!(resolved.code, 0, "{}", resolved.err);
    let digest = &resolved.out[resolved.out.find('@').unwrap() + 1..].trim_end();
    assert!(text.contains(*digest));
    // the lock decides, without a question to GitLab
    let dry = ["submit", "--dry-run", "--locked", "main", "--", "true"];
    assert!(world.moorline(&dry, &[]).err.contains(*digest));
    world.write("project/moorline.toml", &toml("v1.0"));
    world.moorline(&["lock", "--check"], &[]).fails(6, &[]);
    world.moorline(&dry, &[]).fails(11, &["main (--project group/project --ref v1.0)"]);
    let wrong = "[images]\nmain = { ref = \"main\" }\n";
    world.write("project/moorline.toml", wrong);
    world.moorline(&["lock"], &[]).fails(12, &["moorline.toml:2", "it needs a project"]);
    world.write("project/moorline.toml", &wrong.replace("ref =", "rev ="));
    world
        .moorline(&["lock"], &[])
        .fails(12, &["unknown key \"images.main.rev\"", "images.main.ref"]);
}

#[test]
fn a_job_file_says_what_ci_built() {
    let world = World::built();
    let job = |text: &str| world.write("project/job.toml", text);
    let dry = |more: &[&str]| {
        world
            .with_api(&[&["submit", "--dry-run", "-f", "job.toml"], more, &["--", "true"]].concat())
    };
    let pinned = |sha: &str| {
        let answer = world.with_api(&["resolve", "--project", PROJECT, "--commit", sha]);
        answer.out[answer.out.find('@').unwrap() + 1..].trim_end().to_owned()
    };
    job(&format!("project = \"{PROJECT}\"\nref = \"main\"\n"));
    assert!(dry(&[]).err.contains(&pinned(NEW)), "{}", dry(&[]).err);
    // flags win: another build, or an image
    assert!(dry(&["--commit", OLD]).err.contains(&pinned(OLD)));
    dry(&["group/project:gone"]).fails(3, &["tag gone"]);
    job(&format!("project = \"{PROJECT}\"\npipeline = 10\n"));
    assert!(dry(&[]).err.contains(&pinned(OLD)));
    job("image = \"a/b:c\"\nproject = \"g/p\"\n");
    dry(&[]).fails(2, &["named twice"]);
    assert!(dry(&["--project", PROJECT, "--pipeline", "20"]).err.contains(&pinned(NEW)));
    job("ref = \"main\"\ncommit = \"1a2b3c4d\"\n");
    dry(&[]).fails(2, &["job.toml:2", "cannot stand beside"]);
}

#[test]
fn one_name_is_moved() {
    let world = world();
    world.moorline(&["lock"], &[]);
    let before = world.read("project/moorline.lock");
    let main = world.push("", "main has moved", &["v1"]);
    world.push("tool", "tool has moved", &["v2"]);
    world.moorline(&["lock", "--update", "main"], &[]).says(&["2 pins, 1 new"]);
    let after = world.read("project/moorline.lock");
    let changed: Vec<&str> = after.lines().filter(|l| !before.contains(l)).collect();
    assert_eq!(changed.len(), 3, "manifest, config and time: {changed:?}");
    assert!(changed.iter().any(|line| line.contains(&main.to_string())));
    world.moorline(&["lock", "--update", "nobody"], &[]).fails(2, &["no such name"]);
}

#[test]
fn a_check_without_network_compares_the_names() {
    let world = world();
    world.moorline(&["lock", "--check"], &[]).fails(3, &["there is no moorline.lock"]);
    world.moorline(&["lock"], &[]);
    let seen = world.seen().len();
    world.write(
        "project/moorline.toml",
        &format!("[images]\nmain = \"{PROJECT}:v3\"\nnew = \"{PROJECT}:v1\"\n"),
    );
    let answer = world.moorline(&["lock", "--check"], &[]);
    assert_eq!(answer.code, 6, "{}", answer.err);
    snapbox::assert_data_eq!(
        masked(&answer.out),
        snapbox::file!["../../golden/lock/check.txt"].raw()
    );
    let json = world.moorline(&["--json", "lock", "--check"], &[]);
    let value: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value[1], json!({ "finding": "not_locked", "name": "new" }));
    assert_eq!(world.seen().len(), seen, "no request");
}

#[test]
fn a_remote_check_finds_what_happens_to_images() {
    let check = ["lock", "--check", "--remote"];
    let world = world();
    world.moorline(&["lock"], &[]);
    // moved, and the old image is under no tag
    world.push("", "moved", &["v1"]);
    world.untag("tool", "v2");
    let answer = world.moorline(&check, &[]);
    assert_eq!(answer.code, 6, "{}", answer.err);
    snapbox::assert_data_eq!(
        masked(&answer.out),
        snapbox::file!["../../golden/lock/remote.txt"].raw()
    );
    // another tag that holds it keeps it
    world.push("", OLD, &["keep"]);
    let answer = world.moorline(&check, &[]);
    assert!(!answer.out.contains("main (linux/amd64): no tag"), "{}", answer.out);
    // gone altogether
    let text = world.read("project/moorline.lock");
    let gone = format!("sha256:{}", "1".repeat(64));
    let manifest = text.lines().find_map(|l| l.strip_prefix("manifest = ")).unwrap();
    world.write("project/moorline.lock", &text.replacen(manifest, &format!("\"{gone}\""), 1));
    let answer = world.moorline(&check, &[]);
    assert!(answer.out.contains(&format!("{gone} is gone from the registry")), "{}", answer.out);
    assert_eq!(answer.code, 6);
}

/// A repository that is closed by now loses neither the other pins nor the offline differences.
#[test]
fn a_remote_check_goes_on_after_an_error() {
    let world = world();
    world.moorline(&["lock"], &[]);
    world.push("tool", "moved", &["v2"]);
    let closed = world.read("project/moorline.lock").replacen(
        &format!("{PROJECT}:v1"),
        "secret/place:v1",
        1,
    );
    world.write("project/moorline.lock", &closed);
    let names = world.read("project/moorline.toml") + "new = \"group/project:v1\"\n";
    world.write("project/moorline.toml", &names);
    let check = ["lock", "--check", "--remote"];
    let answer = world.moorline(&check, &[]);
    answer.fails(6, &["secret/place", "was not compared"]);
    for words in ["new: not locked", "main: locked as", "tool (linux/amd64): tag v2 moved"] {
        assert!(answer.out.contains(words), "{}", answer.out);
    }
    // an error alone has its own code, and is no finding
    let world = World::new();
    world.push("", OLD, &["v1"]);
    world.write("project/moorline.toml", "[images]\nmain = \"group/project:v1\"\n");
    world.moorline(&["lock"], &[]);
    let text = world.read("project/moorline.lock").replace(PROJECT, "secret/place");
    world.write("project/moorline.lock", &text);
    world.write("project/moorline.toml", "[images]\nmain = \"secret/place:v1\"\n");
    let answer = world.moorline(&check, &[]);
    assert_eq!(answer.out, "");
    answer.fails(3, &["secret/place", "was not compared"]);
    assert!(!answer.err.contains("nothing found"), "{}", answer.err);
}

#[test]
fn a_failure_leaves_the_old_file() {
    let world = world();
    world.moorline(&["lock"], &[]);
    let before = world.read("project/moorline.lock");
    world.push("tool", "moved", &["v2"]);
    world.untag("", "v1");
    let update = ["lock", "--update"];
    world.moorline(&update, &[]).fails(3, &["tag v1 does not exist", "was not changed"]);
    assert_eq!(world.read("project/moorline.lock"), before);
    world.write("project/moorline.lock", &before.replace("schema = 1", "schema = 9"));
    world.moorline(&["lock"], &[]).fails(12, &["schema 9"]);
    assert!(world.read("project/moorline.lock").contains("schema = 9"));
    world.write("project/moorline.toml", "");
    world.moorline(&["lock"], &[]).fails(2, &["names no images"]);
}

#[test]
fn locked_refuses_what_is_not_locked() {
    let world = world();
    let dry = |what: &str, flag: &[&str]| {
        world.moorline(&[&["submit", "--dry-run"], flag, &[what, "--", "true"]].concat(), &[])
    };
    dry("main", &["--locked"]).fails(3, &["there is no moorline.lock"]);
    world.moorline(&["lock"], &[]);
    dry("group/project:v9", &["--locked"]).fails(11, &["moorline.lock has no pin of"]);
    dry("./x.sif", &["--locked"]).fails(11, &["a SIF file is not in moorline.lock"]);
    let arm = world
        .moorline(&["run", "--locked", "--platform", "linux/arm64", "main", "--", "true"], &[]);
    arm.fails(11, &["linux/arm64"]);
    // the tag moves; the lock decides, and the registry is not asked what the tag is now
    world.push("", "moved", &["v1"]);
    let seen = world.seen().len();
    let answer = dry("main", &["--locked"]);
    let locked = world.read("project/moorline.lock");
    let pinned = answer.err.lines().find_map(|l| l.split_once("@sha256:")).unwrap().1;
    assert!(locked.contains(&pinned[..64]), "{}", answer.err);
    assert!(world.seen()[seen..].iter().all(|s| !s.target.ends_with("/manifests/v1")));
    // the name stands for something else now
    world.write("project/moorline.toml", &format!("[images]\nmain = \"{PROJECT}:v3\"\n"));
    dry("main", &["--locked"]).fails(11, &["main (gitlab.example/group/project:v3)"]);
    // what CI built is refused as well unless it is locked
    let mut ci = world.in_ci(&["submit", "--dry-run", "--locked", "--", "true"], &[]);
    ci.fails(3, &["no image of pipeline 20"]);
    world.push("", "unlocked", &["bbbbbbbb"]);
    ci = world.in_ci(&["submit", "--dry-run", "--locked", "--", "true"], &[]);
    ci.fails(11, &["has no pin of"]);
}

/// A private project, opened by a credential for one command.
#[test]
fn a_credential_of_the_command_line_opens_what_is_locked() {
    let (world, file) = private();
    world.push("", OLD, &["v1"]);
    world.write("project/moorline.toml", &format!("[images]\nmain = \"{PROJECT}:v1\"\n"));
    let flags = ["--credential-file", file.as_str()];
    let with = |args: &[&str]| world.moorline(&[args, &flags].concat(), &[]);
    world.moorline(&["lock"], &[]).fails(3, &["was not changed"]);
    with(&["lock"]).fails(0, &["1 pin, 1 new"]);
    with(&["lock", "--update", "main"]).fails(0, &["1 pin, 0 new"]);
    let remote = ["lock", "--check", "--remote"];
    world.moorline(&remote, &[]).fails(3, &["was not compared"]);
    with(&remote).fails(0, &["nothing found"]);
    // where no registry is asked the credential would be read for nothing
    let seen = world.seen().len();
    with(&["lock", "--check"]).fails(2, &["--remote"]);
    // it is for one registry, and which one of two is not guessed
    let other = "other = \"other.example/a/b:v1\"\n";
    world.write("project/moorline.toml", &format!("[images]\nmain = \"{PROJECT}:v1\"\n{other}"));
    with(&["lock", "--update"]).fails(2, &["images of one registry"]);
    assert_eq!(world.seen().len(), seen, "no request");
    with(&["lock", "--update", "main"]).fails(0, &["1 pin, 0 new"]);
}
