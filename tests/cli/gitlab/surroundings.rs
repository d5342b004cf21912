//! Field report 34: what GitLab, its CI and people put around a name. Each is taken, or the cause is named.

use std::io::Write as _;
use std::process::Stdio;

use moorline::secret::Secret;
use moorline::standin::{Config, JobToken, Project, Visibility};

use crate::gitlab::common::{Answer, JOB_TOKEN, NEW, PROJECT, World, config, private};

/// `login` with the secret on standard input.
fn login(world: &World, args: &[&str], secret: &str) -> Answer {
    let mut command = world.command(&[&["login"], args].concat(), &[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
    world.answer(child.wait_with_output().unwrap())
}

#[test]
fn a_login_takes_the_spellings_of_a_registry() {
    let (world, file) = private();
    let token = std::fs::read_to_string(file).unwrap();
    let (user, secret) = token.trim().split_once('\n').unwrap();
    world.push("", NEW, &["v1"]);
    let host = world.host();
    let more = ["--username", user, "--password-stdin", "--store", "file"];
    for typed in [
        format!("https://{host}"),
        format!("https://{host}/"),
        format!("https://{host}/v2/"),
        format!("docker://{host}"),
        format!("https://{host}/{PROJECT}/"),
        format!("docker://{host}/Group/Project"),
        format!("{host}/Group/Project"),
        format!(" {host}"),
    ] {
        let done = login(&world, &[&[typed.as_str()], &more[..]].concat(), secret);
        assert_eq!(done.code, 0, "{typed}: {}", done.err);
        let named = format!("{host}/{PROJECT}:v1");
        let answer = world.moorline(&["resolve", &named], &[]);
        assert_eq!(answer.code, 0, "{typed}: {}", answer.err);
        // the same spelling takes it away again
        let gone = world.moorline(&["logout", &typed], &[]);
        assert_eq!(gone.code, 0, "{typed}: {}", gone.err);
        assert_ne!(world.moorline(&["resolve", &named], &[]).code, 0, "{typed}");
    }
    for (typed, said) in [
        (format!("http://{host}"), "write the registry without http://"),
        ("ftp://h.example".to_owned(), "\"ftp://h.example\" is not a registry"),
        ("https://".to_owned(), "is not a registry"),
        ("h.example/a//b".to_owned(), "is not a registry with an optional project"),
    ] {
        login(&world, &[&[typed.as_str()], &more[..]].concat(), secret).fails(2, &[said]);
    }
}

#[test]
fn a_reference_takes_docker_and_explains_the_rest() {
    let world = World::new();
    let digest = world.push("", NEW, &["v1"]);
    let host = world.host();
    world.moorline(&["resolve", &format!("docker://{host}/{PROJECT}:v1")], &[]).is("", digest);
    world.moorline(&["resolve", &format!("DOCKER://{host}/{PROJECT}:v1")], &[]).is("", digest);
    let lower = "registries write it in lower case: group/project";
    let bare = "write an image without https://: registry/group/project:tag";
    let (capitals, web) = (format!("{host}/Group/Project:v1"), format!("https://{host}/{PROJECT}"));
    for (typed, said) in
        [(&capitals, lower), (&format!("docker://{capitals}"), lower), (&web, bare)]
    {
        for verb in ["resolve", "convert", "auth-explain"] {
            world.moorline(&[verb, typed], &[]).fails(2, &[said]);
        }
        world.moorline(&["run", typed, "--", "true"], &[]).fails(2, &[said]);
        world.write("project/moorline.toml", &format!("[images]\nmine = \"{typed}\"\n"));
        world.moorline(&["resolve", "mine"], &[]).fails(12, &[said]);
        std::fs::remove_file(world.path("project/moorline.toml")).unwrap();
    }
    // a project is GitLab's name and not the registry's
    let built = world.push("", NEW, &["bbbbbbbb"]);
    world.with_api(&["resolve", "--project", "Group/Project", "--ref", "main"]).is("", built);
}

#[test]
fn a_job_token_is_for_what_lists_it() {
    let project = |path: &str| Project { path: path.into(), visibility: Visibility::Private };
    let world = World::with(Config {
        projects: vec![project(PROJECT), project("other/project")],
        job_tokens: vec![JobToken {
            secret: Secret::new(JOB_TOKEN.into()),
            project: PROJECT.into(),
        }],
        ..config()
    });
    let own = world.push("", NEW, &["v1"]);
    let host = world.host();
    world.in_ci(&["resolve", &format!("{host}/{PROJECT}:v1")], &[]).is("", own);
    for args in [
        vec!["resolve".to_owned(), format!("{host}/other/project:v1")],
        ["resolve", "--project", "other/project", "--ref", "main"].map(String::from).into(),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        world.in_ci(&args, &[]).fails(
            3,
            &[
                "GitLab CI (CI_JOB_TOKEN): not granted",
                "must list this project",
                "Job token permissions",
            ],
        );
    }
}

/// The job's credentials are for CI's own registry: another one does not hear them, and why is said.
#[test]
fn another_registry_than_cis_own_is_told_apart() {
    let project = Project { path: PROJECT.into(), visibility: Visibility::Private };
    let world = World::with(Config { projects: vec![project], ..config() });
    world.push("", NEW, &["v1"]);
    let named = format!("{}/{PROJECT}:v1", world.host());
    for (own, said) in [
        ("other.example:5050", "for CI_REGISTRY, which is other.example:5050"),
        ("", "this GitLab has no registry (CI_REGISTRY is not set)"),
    ] {
        let before = world.seen().len();
        world.in_ci(&["resolve", &named], &[("CI_REGISTRY", own)]).fails(3, &[said]);
        assert!(world.seen().len() > before);
        assert!(world.seen()[before..].iter().all(|seen| !seen.authorized), "{own}");
        world.in_ci(&["resolve"], &[("CI_REGISTRY", own)]).fails(3, &[said]);
    }
    world.in_ci(&["resolve", &named], &[("CI_REGISTRY", "a b")]).fails(12, &["CI_REGISTRY"]);
}

#[test]
fn a_ca_file_of_the_runner_that_is_none() {
    let world = World::built();
    world.write("bad.pem", "garbage");
    let [bad, gone, directory] = ["bad.pem", "gone.pem", "project"].map(|name| world.path(name));
    let with = |path: &std::path::Path| {
        world.in_ci(&["resolve"], &[("CI_SERVER_TLS_CA_FILE", path.to_str().unwrap())])
    };
    with(&bad).fails(12, &["cannot use CA file DIR/bad.pem: it holds no PEM certificate"]);
    let new = world.push("", NEW, &["bbbbbbbb"]);
    for none in [&gone, &directory] {
        with(none)
            .is("", new)
            .says(&["CI_SERVER_TLS_CA_FILE is passed over: there is no file DIR/"]);
    }
    let unset = world.in_ci(&["resolve"], &[("CI_SERVER_TLS_CA_FILE", "")]);
    assert!(!unset.is("", new).err.contains("CA_FILE"), "{}", unset.err);
}
