//! `--json` on every verb: one document on stdout, whatever happens. The verbs are read from the program's own help,
//! so that a new one cannot be forgotten.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Answer, Home, SECRET, Server, USER};

/// The verbs below `words`, with those below them, from the help texts.
fn leaves(home: &Home, words: &[&str]) -> Vec<String> {
    let help = home.ok(&[words, &["--help"]].concat());
    let mut below = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let mut found = Vec::new();
    while let Some(name) = below.next().filter(|line| line.starts_with("  ")) {
        // a description's second line is indented further
        if name.starts_with("   ") {
            continue;
        }
        let name = name.split_whitespace().next().unwrap();
        if name != "help" {
            found.extend(leaves(home, &[words, &[name]].concat()));
        }
    }
    if found.is_empty() { vec![words.join(" ")] } else { found }
}

/// Runs verbs and notes which.
struct Walk<'a> {
    home: &'a Home,
    seen: BTreeSet<String>,
}

impl Walk<'_> {
    #[track_caller]
    fn verb(&mut self, verb: &str, args: &[&str], stdin: &str, code: i32) -> Value {
        self.seen.insert(verb.to_owned());
        let words: Vec<&str> = verb.split(' ').collect();
        let answer = self.home.run_with(&[&["--json"], &words[..], args].concat(), stdin);
        let value = document(&answer.exits(code));
        let tells_nothing = value.as_object().is_some_and(|o| o.keys().eq(["exit_code"]));
        assert!(!tells_nothing && !value.is_null(), "{verb}: {value}");
        value
    }
}

#[track_caller]
fn document(answer: &Answer) -> Value {
    let mut read = serde_json::Deserializer::from_str(&answer.stdout).into_iter::<Value>();
    let first = read.next().unwrap_or_else(|| panic!("nothing: {answer}"));
    assert!(read.next().is_none(), "more than one document: {answer}");
    first.unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[test]
fn every_verb_gives_one_document() {
    let server = Server::with_image();
    let home = Home::new(&server);
    let image = server.name(":v1");
    home.write("here/moorline.toml", &format!("[images]\nanalysis = \"{image}\"\n"));
    let ganga = "Job(application=Executable(exe='true'), virtualization=Docker('fedora'))\n";
    home.write("here/ganga.py", ganga);
    let project = server.name("");
    let mut walk = Walk { home: &home, seen: BTreeSet::new() };

    let login = [&project, "--username", USER, "--password-stdin", "--store", "file"];
    assert_eq!(walk.verb("login", &login, SECRET, 0)["username"], USER);
    walk.verb("init", &["--print"], "", 0);
    assert!(walk.verb("doctor", &[], "", 0).as_array().is_some());
    walk.verb("auth-explain", &[&image], "", 0);
    walk.verb("resolve", &[&image], "", 0);
    walk.verb("tags", &[&project], "", 0);
    walk.verb("inspect", &[&image], "", 0);
    assert_eq!(walk.verb("lock", &[], "", 0)[0]["name"], "analysis");
    let made = walk.verb("convert", &[&image], "", 0);
    let sif = made["path"].as_str().unwrap().to_owned();
    assert_eq!(walk.verb("verify", &[&sif], "", 0)["verdict"], "match-bytes");

    // the program's stdout is no part of the document
    let ran = walk.verb("run", &[&image, "sh", "-c", "echo out; exit 3"], "", 3);
    assert_eq!((&ran["exit_code"], &ran["command"][0]), (&3.into(), &"sh".into()));
    walk.verb("shell", &[&image], "exit 0\n", 0);
    let dry = walk.verb("submit", &["--dry-run", &image, "sh"], "", 0);
    assert_eq!(dry["dry_run"], true);
    let job = walk.verb("submit", &["--name", "fit", &image, "sh", "-c", "echo hello"], "", 0);
    let job = job["job"].as_str().unwrap().to_owned();
    assert_eq!(walk.verb("wait", &[&job], "", 0)[0]["state"], "completed");
    let status = &walk.verb("status", &[&job], "", 0)[0];
    assert_eq!((&status["name"], &status["command"][2]), (&"fit".into(), &"echo hello".into()));
    for path in ["workdir", "output"] {
        assert!(std::path::Path::new(status[path].as_str().unwrap()).exists(), "{status}");
    }
    assert_eq!(walk.verb("logs", &[&job], "", 0)["text"], "hello\n");
    // it left none
    assert_eq!(walk.verb("fetch", &["--all", &job], "", 0), Value::Array(vec![]));
    assert_eq!(walk.verb("cancel", &[&job], "", 0)[0]["outcome"], "had ended");
    let again = walk.verb("rerun", &["--wait", &job], "", 0);
    assert_eq!(
        (&again["rerun_of"], &again["ended"]["exit_code"]),
        (&job.clone().into(), &0.into())
    );
    assert_eq!(walk.verb("jobs", &[], "", 0).as_array().unwrap().len(), 4);
    walk.verb("recover", &[], "", 0);
    let audited = walk.verb("audit job", &[&job], "", 0);
    assert_eq!((&audited["verdict"], &audited["command"][0]), (&"match".into(), &"sh".into()));
    let junit = walk.verb("audit export", &["--format", "junit", &job], "", 0);
    assert!(junit["text"].as_str().unwrap().contains("<testsuite"), "{junit}");
    let report = walk.verb("audit report", &[&job], "", 0);
    assert_eq!(report["format"], "markdown");
    // nobody attached one
    walk.verb("audit sbom", &[&job], "", 3);
    walk.verb("audit image", &[&image], "", 0);
    walk.verb("audit drift", &[], "", 0);
    walk.verb("audit verify", &[], "", 0);
    assert_eq!(walk.verb("ledger collect", &[], "", 0)["jobs"], 4);
    walk.verb("cache ls", &[], "", 0);
    walk.verb("cache prune", &["--dry-run"], "", 0);
    walk.verb("cache verify", &[], "", 0);
    walk.verb("cache key", &["key"], "", 0);
    let wheel = crate::runtime::wheel("1.3.17");
    std::fs::write(home.path("here/udocker.whl"), wheel).unwrap();
    let added = walk.verb("runtime add", &["udocker", "udocker.whl"], "", 0);
    let listed = walk.verb("runtime ls", &[], "", 0);
    let digest = listed["runtimes"][0]["package"]["sha256"].as_str().unwrap().to_owned();
    assert!(added.to_string().contains(&digest), "{added}");
    walk.verb("runtime rm", &[&digest], "", 0);
    walk.verb("config show", &[], "", 0);
    let imported = walk.verb("import ganga", &["ganga.py"], "", 0);
    assert!(imported["text"].as_str().unwrap().contains("docker.io/fedora"), "{imported}");
    assert_eq!(walk.verb("completions", &["bash"], "", 0)["shell"], "bash");
    walk.verb("man", &[], "", 0);
    let demo = walk.verb("demo", &["--dir", "demo"], "", 0);
    assert_eq!(demo["verdict"], "Match");
    assert!(walk.verb("ledger merge", &["demo/ledger"], "", 0).as_array().is_some());
    assert_eq!(walk.verb("logout", &[&project], "", 0)["remains"], false);

    let all: BTreeSet<String> = leaves(&home, &[]).into_iter().collect();
    assert_eq!(walk.seen, all, "verbs of the program, and those that this test runs");
}

#[test]
fn an_error_is_a_document_too() {
    let server = Server::with_image();
    let home = Home::new(&server);
    for (args, code, kind) in [
        (&["--json", "status", "nobody"][..], 3, "not-found"),
        (&["--json", "audit", "verify"], 3, "not-found"),
        (&["resolve", "--json", &server.name(":v1")], 3, "not-found"),
        (&["--json", "submit", "--backend", "none", "x/y", "true"], 2, "usage"),
        // what clap refuses
        (&["--json=job", "frobnicate"], 2, "usage"),
    ] {
        let answer = home.run(args).exits(code);
        let value = document(&answer);
        if args.contains(&"resolve") {
            // a place for each reference in the order given
            assert!(value.is_null(), "{value}");
            continue;
        }
        let error = &value["error"];
        assert_eq!((&error["kind"], &error["exit_code"]), (&kind.into(), &code.into()), "{value}");
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{value}");
        assert!(answer.stderr.contains("error:"), "{answer}");
    }
}

#[test]
fn fields_are_chosen() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let made = home.run(&["--json=size,recipe.codec,nothing", "convert", &image]).exits(0);
    let value = document(&made);
    let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["size", "recipe.codec", "nothing"]);
    assert!(value["size"].is_u64() && value["nothing"].is_null(), "{value}");
    assert!(made.stderr.contains("no field nothing"), "{made}");
    assert_eq!(document(&home.run(&["jobs", "--json=job,state"]).exits(0)), serde_json::json!([]));
    home.run(&["jobs", "--json", "job,state"]).says(2, &["hint: fields of a document follow ="]);
}
