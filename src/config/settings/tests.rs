//! One table of good values drives most of these, so that a new key cannot be forgotten.

use proptest::prelude::*;

use super::*;
use crate::config::ShownValue;
use crate::failure::{Failure, Kind};

/// For each key: a line that sets it, and what `config show` says then.
const EXAMPLES: [(&str, &str, &str); 66] = [
    ("registry", "registry = 'registry.example'", "registry.example"),
    ("insecure_registries", "insecure_registries = ['old.example:5000']", "old.example:5000"),
    ("ca_files", "ca_files = ['/etc/ca.pem']", "/etc/ca.pem"),
    ("path_prefixes", "path_prefixes = ['r.example:5000/oci']", "r.example:5000/oci"),
    ("requests_at_once", "requests_at_once = 4", "4"),
    ("trusted_groups", "trusted_groups = ['physics']", "physics"),
    ("helper_variables", "helper_variables = ['ACME_TOKEN']", "ACME_TOKEN"),
    ("realms.*", "realms = {'r.example' = 'https://gitlab.example'}", "https://gitlab.example"),
    ("cache", "cache = '/c'", "/c"),
    ("ledger", "ledger = '/l'", "/l"),
    ("jobs_dir", "jobs_dir = '/j'", "/j"),
    ("node_cache", "node_cache = '/n'", "/n"),
    ("runtimes", "runtimes = ['builtin', 'apptainer']", "builtin, apptainer"),
    ("syscall_filter", "syscall_filter = 'off'", "off"),
    ("images.*", "images.ana = 'group/ana:v1'", "group/ana:v1"),
    ("store.site", "store.site = '/s'", "/s"),
    ("store.site_owner", "store.site_owner = 990", "990"),
    (
        "store.site_keys",
        "store.site_keys = ['ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']",
        "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ),
    ("store.max_size", "store.max_size = '1G'", "1073741824"),
    ("store.trash_age", "store.trash_age = '1d'", "86400s"),
    (
        "registry_sifs.keys",
        "registry_sifs.keys = ['ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']",
        "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ),
    ("registry_sifs.look_up", "registry_sifs.look_up = false", "false"),
    ("submit.backend", "submit.backend = 'slurm'", "slurm"),
    ("submit.runtime", "submit.runtime = 'builtin'", "builtin"),
    ("submit.mounts", "submit.mounts = ['/d:ro']", "/d:/d:ro"),
    ("submit.env.*", "submit.env.A = 'b'", "b"),
    ("submit.cpus", "submit.cpus = 2", "2"),
    ("submit.memory", "submit.memory = '1G'", "1024M"),
    ("submit.time", "submit.time = '1h'", "3600s"),
    ("submit.grace", "submit.grace = '30s'", "30s"),
    ("backend.*.platform", "backend.slurm.platform = 'linux/arm64'", "linux/arm64"),
    ("backend.*.queue", "backend.slurm.queue = 'short'", "short"),
    ("backend.*.account", "backend.slurm.account = 'atlas'", "atlas"),
    ("backend.*.hold", "backend.slurm.hold = false", "false"),
    ("backend.*.shared_files", "backend.slurm.shared_files = true", "true"),
    ("gitlab.url", "gitlab.url = 'https://gitlab.example'", "https://gitlab.example"),
    ("gitlab.registry", "gitlab.registry = 'registry.example'", "registry.example"),
    ("shub.endpoint", "shub.endpoint = 'https://hub.example/x'", "https://hub.example/x"),
    ("wait.unknown", "wait.unknown = '10m'", "600s"),
    ("wait.silent", "wait.silent = '1d'", "86400s"),
    ("limits.entries", "limits.entries = 1000", "1000"),
    ("limits.layer_bytes", "limits.layer_bytes = 0x1000", "4096"),
    ("limits.metadata_bytes", "limits.metadata_bytes = 0x100000", "1048576"),
    ("limits.content_bytes", "limits.content_bytes = 1", "1"),
    ("limits.expansion_ratio", "limits.expansion_ratio = 100", "100"),
    ("limits.path_depth", "limits.path_depth = 64", "64"),
    ("limits.path_bytes", "limits.path_bytes = 4096", "4096"),
    ("limits.link_steps", "limits.link_steps = 8", "8"),
    ("limits.header_bytes", "limits.header_bytes = 65_536", "65536"),
    ("limits.xattr_bytes", "limits.xattr_bytes = 65536", "65536"),
    ("limits.sparse_pieces", "limits.sparse_pieces = 10", "10"),
    ("limits.manifest_bytes", "limits.manifest_bytes = 4096", "4096"),
    ("limits.config_bytes", "limits.config_bytes = 4096", "4096"),
    ("limits.token_bytes", "limits.token_bytes = 4096", "4096"),
    ("limits.index_entries", "limits.index_entries = 10", "10"),
    ("limits.layers", "limits.layers = 10", "10"),
    ("limits.tags", "limits.tags = 10", "10"),
    ("limits.output_bytes", "limits.output_bytes = 1_000_000", "1000000"),
    ("policy.plain_match_only", "policy.plain_match_only = true", "true"),
    ("delivery.pull_tasks", "delivery.pull_tasks = 100", "100"),
    ("delivery.pull_requests", "delivery.pull_requests = 2", "2"),
    ("delivery.cvmfs", "delivery.cvmfs = ['/cvmfs/unpacked.example']", "/cvmfs/unpacked.example"),
    ("delivery.node_size", "delivery.node_size = '20G'", "21474836480"),
    ("delivery.node_age", "delivery.node_age = '7d'", "604800s"),
    ("delivery.node_copy", "delivery.node_copy = true", "true"),
    ("delivery.shared_trees", "delivery.shared_trees = true", "true"),
];

fn parse(text: &str, level: Level) -> Result<Config, ConfigError> {
    let file = if level == Level::Project { "moorline.toml" } else { "config.toml" };
    Config::parse(text, level, Path::new(file))
}

fn user(text: &str) -> Config {
    parse(text, Level::User).unwrap()
}

fn shown(config: &Config) -> Vec<String> {
    let line = |e: ShownValue<'_>| format!("{} = {} from {}", e.key, e.value, e.origin);
    config.entries().into_iter().map(line).collect()
}

#[test]
fn every_key_is_read_and_shown() {
    let keys: Vec<&str> = Config::keys().map(|head| head.name).collect();
    assert_eq!(EXAMPLES.map(|(key, ..)| key).as_slice(), keys);
    for (key, text, value) in EXAMPLES {
        let config = user(text);
        let entries = config.entries();
        assert_eq!(entries.len(), 1, "{key}");
        assert_eq!(entries[0].value, value, "{key}");
        assert_eq!(entries[0].origin.to_string(), "user (config.toml:1)", "{key}");
    }
}

#[test]
fn a_project_file_sets_only_what_is_harmless() {
    for ((key, text, _), Head { who, also, .. }) in EXAMPLES.into_iter().zip(Config::keys()) {
        let answer = parse(text, Level::Project);
        match who {
            Who::Anyone => assert!(answer.is_ok(), "{key}"),
            Who::Trusted => {
                let error = answer.expect_err(key);
                assert!(matches!(error.problem, Problem::Forbidden { .. }), "{key}: {error}");
                assert_eq!(error.kind(), Kind::Configuration);
                let hint = error.hint().unwrap();
                assert!(also.is_none_or(|other| hint.contains(other)), "{key}: {hint}");
            }
        }
    }
    // the rule in words, so that a changed table is noticed
    let allowed = ["images", "submit", "backend", "limits", "policy"];
    for &Head { name: key, who, .. } in Config::keys() {
        let first = key.split('.').next().unwrap();
        if key == "backend.*.hold" || key == "backend.*.shared_files" {
            // what keeps a job from running twice is not a project's to switch off; what the workers see, the site knows
            assert_eq!(who, Who::Trusted);
            continue;
        }
        if key == "registry" {
            // only that of the clone's own GitLab: what asks the remote checks it
            assert_eq!(who, Who::Anyone);
            continue;
        }
        assert_eq!(who == Who::Anyone, allowed.contains(&first), "{key}");
    }
}

#[test]
fn a_project_file_sets_no_variable_that_decides_what_runs() {
    for name in ["LD_PRELOAD", "BASH_ENV", "PYTHONSTARTUP", "APPTAINER_BIND"] {
        let text = format!("[submit.env]\n{name} = 'x'");
        let error = parse(&text, Level::Project).expect_err(name);
        assert_eq!((error.line, error.kind()), (2, Kind::Configuration));
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.hint().unwrap().contains(&format!("--env {name}=VALUE")));
        assert!(parse(&text, Level::User).is_ok(), "{name} is the user's to set");
    }
    // a relative source is below the project, and nobody else has one
    assert!(parse("submit.mounts = ['data:/d']", Level::User).is_err());
    assert!(parse("submit.mounts = ['../data:/d']", Level::Project).is_err());
}

#[test]
fn a_forbidden_key_is_named_with_its_place() {
    let error = parse("[gitlab]\nurl = 'https://evil.example'", Level::Project).unwrap_err();
    assert_eq!(
        error.to_string(),
        "moorline.toml:2: the key \"gitlab.url\" is not allowed in a project file, \
         because that file is somebody else's input"
    );
    let hint = error.hint().unwrap();
    for place in ["/etc/moorline/config.toml", "$XDG_CONFIG_HOME/moorline/config.toml"] {
        assert!(hint.contains(place), "{hint}");
    }
    // by a dotted key, an inline table and a quoted one alike
    for text in ["gitlab.url = 'x'", "gitlab = { url = 'x' }", "['gitlab']\n\"url\" = 1"] {
        let error = parse(text, Level::Project).expect_err(text);
        assert!(matches!(error.problem, Problem::Forbidden { .. }), "{text}: {error}");
    }
}

#[test]
fn unknown_keys() {
    for (text, shown, hint) in [
        ("registy = 'a'", "config.toml:1: unknown key \"registy\"", Some("did you mean registry?")),
        (
            "[submit]\nmount = []",
            "config.toml:2: unknown key \"submit.mount\"",
            Some("did you mean submit.mounts?"),
        ),
        ("x = 1", "config.toml:1: unknown key \"x\"", None),
        ("[x.y]\nz = 1", "config.toml:1: unknown key \"x\"", None),
        ("\"a\\u001b\" = 1", "config.toml:1: unknown key \"a\\u{1b}\"", None),
    ] {
        let error = parse(text, Level::User).expect_err(text);
        assert_eq!(error.to_string(), shown);
        assert_eq!(error.hint().as_deref(), hint);
    }
}

#[test]
fn a_secret_is_refused_and_not_repeated() {
    let error = parse("[gitlab]\ntoken = 'hunter2'", Level::User).unwrap_err();
    assert!(matches!(error.problem, Problem::Secret { .. }));
    for text in [
        "[gitlab]\ntoken = 'hunter2'",
        "registry = 'https://me:hunter2@registry.example'",
        "gitlab.url = 'https://me:hunter2@gitlab.example'",
        "realms.'r.example' = 'https://me:hunter2@gitlab.example'",
    ] {
        let error = parse(text, Level::User).expect_err(text);
        assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("hunter2"), "{text}");
    }
}

#[test]
fn an_address_with_a_password_is_refused_and_not_repeated() {
    for (address, hint) in [
        ("postgres://me:hunter2@db.example/ledger", "PGPASSFILE"),
        ("postgresql://me:hunter2@db.example", "PGPASSFILE"),
        ("postgres://me:hunt/er2@db.example/ledger", "PGPASSFILE"),
        ("https://me:hunter2@db.example", "leave user and password out"),
    ] {
        let error = parse(&format!("ledger = '{address}'"), Level::Site).unwrap_err();
        assert!(matches!(error.problem, Problem::Password { .. }), "{error}");
        let said = format!("{error} {error:?} {:?}", error.hint());
        assert!(said.contains(hint) && !said.contains("er2"), "{said}");
    }
    for address in ["postgres://me@db.example/ledger?sslmode=verify-full", "a:b@c", "x://y/z:1"] {
        let error = parse(&format!("site_ledger = '{address}'"), Level::Site).unwrap_err();
        assert!(matches!(error.problem, Problem::Unknown { .. }), "{address}: {error}");
    }
}

#[test]
fn a_policy_is_tightened_and_never_loosened() {
    let merged = |lower: &str, upper: &str| {
        let lower = parse(lower, Level::Site).unwrap();
        let upper = parse(upper, Level::Project).unwrap();
        Config::merge(lower, Config::default(), upper).policy.plain_match_only.map(|set| set.value)
    };
    let (on, off) = ("policy.plain_match_only = true", "policy.plain_match_only = false");
    assert_eq!(merged("", ""), None);
    assert_eq!(merged(off, on), Some(true));
    assert_eq!(merged(on, off), Some(true));
    assert_eq!(merged("", on), Some(true));
}

/// A name is one image, in whichever way the later level says it.
#[test]
fn a_short_name_means_what_the_later_level_says() {
    let (text, built) =
        ("images.ana = 'group/ana:v1'", "images.ana = {project = 'group/ana', ref = 'main'}");
    for (lower, upper) in [(text, built), (built, text)] {
        let upper = parse(upper, Level::Project).unwrap();
        let merged = user(lower).under(upper.clone());
        assert_eq!(merged.images, upper.images);
    }
}

#[test]
fn paths() {
    let found = |path: &[&str]| match find(path) {
        Found::Key(row) => row.head.name,
        Found::Table => "a table",
        Found::Nothing => "nothing",
    };
    assert_eq!(found(&["cache"]), "cache");
    assert_eq!(found(&["backend", "slurm", "queue"]), "backend.*.queue");
    assert_eq!(found(&["backend", "slurm"]), "a table");
    assert_eq!(found(&["realms"]), "a table");
    for nothing in [&["cache", "x"][..], &["submit", "x"], &["limits", "x"]] {
        assert_eq!(found(nothing), "nothing");
    }
}

#[test]
fn each_key_has_one_row() {
    let mut names: Vec<&str> = Config::keys().map(|head| head.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(Config::keys().all(|head| head.about.len() > 3));
}

/// The tables of `docs/`, for people: each key once, and who may set it as the code has it.
#[test]
fn the_documents_list_every_key() {
    let mut listed = std::collections::BTreeMap::new();
    for page in documents(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")) {
        let mut of: Option<&str> = None;
        for line in page.lines() {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            of = match cells.as_slice() {
                ["key", "project file", ..] => Some(""),
                ["key of `[limits]`", ..] => Some("limits"),
                _ if line.starts_with('|') => of,
                _ => None,
            };
            let (Some(table), [keys, who, ..]) = (of, cells.as_slice()) else { continue };
            for name in names(table, keys) {
                let anyone = if table.is_empty() { !who.starts_with("no") } else { true };
                assert_eq!(listed.insert(name.clone(), anyone), None, "{name} is listed twice");
            }
        }
    }
    let known = Config::keys().map(|head| (head.name.to_owned(), head.who == Who::Anyone));
    assert_eq!(listed, known.collect());
}

/// The keys that the first cell of a row names: "`[wait] unknown`, `silent`" are two.
fn names(table: &str, cell: &str) -> Vec<String> {
    let mut table = table.to_owned();
    let mut names = Vec::new();
    for word in cell.split('`').skip(1).step_by(2) {
        let mut name = word;
        if let Some((of, rest)) = word.strip_prefix('[').and_then(|word| word.split_once(']')) {
            table = of.replace("NAME", "*");
            name = rest.trim();
        }
        // keys with a row of their own in another table, and those that there are not yet
        if (table == "limits" && name == "NAME") || name.is_empty() {
            continue;
        }
        let name = name.replace("NAME", "*");
        let whole = if table.is_empty() { name } else { format!("{table}.{name}") };
        // a table whose names the author chooses
        let open = ["realms", "submit.env"].contains(&whole.as_str());
        names.push(if open { format!("{whole}.*") } else { whole });
    }
    names
}

/// All pages below a directory.
fn documents(dir: &Path) -> Vec<String> {
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            pages.extend(documents(&entry));
        } else if entry.extension().is_some_and(|e| e == "md") {
            pages.push(std::fs::read_to_string(&entry).unwrap());
        }
    }
    pages
}

#[test]
fn a_policy_that_cannot_be_kept_stops() {
    for level in [Level::Site, Level::User, Level::Project] {
        let error = parse("[policy]\nregistries = ['a.example']", level).unwrap_err();
        assert_eq!(error.kind(), Kind::Policy);
    }
}

#[test]
fn values_that_break_their_rules() {
    for bad in [
        "cache = 'relative'",
        "cache = '~/x'",
        "cache = '/a/../b'",
        "cache = 1",
        "ca_files = '/one'",
        "ca_files = ['one']",
        "registry = 'https://registry.example'",
        "realms = {'r.example' = 'https://gitlab.example/jwt/auth'}",
        "realms = {'r.example' = 'http://gitlab.example'}",
        "realms = {'no host' = 'https://gitlab.example'}",
        "realms = 'https://gitlab.example'",
        "images = {'../x' = 'a'}",
        "images = {'' = 'a'}",
        "images.x = 'A b'",
        "images.x = 'oci://a'",
        "submit.env = {'A B' = 'x'}",
        "submit.env.A = 1",
        "submit.cpus = 0",
        "submit.mounts = ['/a:/']",
        "submit.backend = '-x'",
        "backend.slurm = 'x'",
        "backend.slurm.queue = 'a b'",
        "submit = []",
        "cache = ",
    ] {
        let error = parse(bad, Level::User).expect_err(bad);
        assert_eq!(error.kind(), Kind::Configuration, "{bad}");
        assert_eq!(error.line, 1);
    }
    let big = format!("# {}", "x".repeat(2 << 20));
    assert!(matches!(parse(&big, Level::User).unwrap_err().problem, Problem::TooLarge { .. }));
}

#[test]
fn later_levels_win_and_lists_add_up() {
    let site = parse(
        "cache = '/site'\nledger = '/site'\nca_files = ['/a']\n\
         [submit]\nbackend = 'slurm'\ncpus = 1\nmounts = ['/s', '/d:/x:ro']\nenv = {A='1', B='1'}\n\
         [backend.slurm]\nqueue = 'long'\naccount = 'all'",
        Level::Site,
    );
    let user = parse("cache = '/user'\nca_files = ['/b', '/a']\nsubmit.cpus = 2", Level::User);
    let project = parse(
        "[submit]\ncpus = 3\nmounts = ['/e:/x/', 'data:/y']\nenv.B = '3'\n[backend.slurm]\nqueue = 'short'",
        Level::Project,
    );
    let merged = Config::merge(site.unwrap(), user.unwrap(), project.unwrap());
    assert_eq!(
        shown(&merged),
        [
            "ca_files = /b from user (config.toml:2)",
            "ca_files = /a from user (config.toml:2)",
            "cache = /user from user (config.toml:1)",
            "ledger = /site from site (config.toml:2)",
            "submit.backend = slurm from site (config.toml:5)",
            "submit.mounts = /s:/s from site (config.toml:7)",
            // a project's never takes the place of a trusted one
            "submit.mounts = /d:/x:ro from site (config.toml:7)",
            "submit.mounts = data:/y from project (moorline.toml:3)",
            "submit.env.A = 1 from site (config.toml:8)",
            "submit.env.B = 3 from project (moorline.toml:4)",
            "submit.cpus = 3 from project (moorline.toml:2)",
            "backend.slurm.queue = short from project (moorline.toml:6)",
            "backend.slurm.account = all from site (config.toml:11)",
        ]
    );
}

#[test]
fn merging_with_nothing_changes_nothing() {
    let config = user(&EXAMPLES.map(|(_, line, _)| line).join("\n"));
    let none = Config::default;
    assert_eq!(config.entries().len(), EXAMPLES.len());
    assert_eq!(Config::merge(config.clone(), none(), none()), config);
    assert_eq!(Config::merge(none(), config.clone(), none()), config);
    assert_eq!(Config::merge(none(), none(), config.clone()), config);
}

#[test]
fn what_is_shown_can_be_read_again() {
    let config = user("images.'a.b' = 'x'\nrealms.'r.example:1' = 'https://g.example'");
    for entry in config.entries() {
        user(&format!("{} = {:?}", entry.key, entry.value));
    }
}

proptest! {
    #[test]
    fn any_text_gives_an_answer(text in "(?s).{0,300}") {
        let _ = parse(&text, Level::Project);
    }

    #[test]
    fn any_value_gives_an_answer(
        key in 0..EXAMPLES.len(),
        value in "[-0-9a-zA-Z_x\"'{}\\[\\]=,.:/ \n]{0,60}",
    ) {
        let name = EXAMPLES[key].0.replace('*', "a");
        let _ = parse(&format!("{name} = {value}"), Level::User);
    }

    #[test]
    fn a_project_never_gets_a_trusted_key_in(
        key in 0..EXAMPLES.len(),
        value in "['\"/a-z\\[\\]{}=:.0-9]{0,40}",
    ) {
        let Head { name: pattern, who, .. } = Config::keys().nth(key).unwrap();
        let text = format!("{} = {value}", pattern.replace('*', "a"));
        if let (Ok(config), Who::Trusted) = (parse(&text, Level::Project), *who) {
            prop_assert_eq!(config, Config::default());
        }
    }

    #[test]
    fn deep_nesting_ends(depth in 0_usize..3000) {
        let _ = parse(&format!("a = {}{}", "[".repeat(depth), "]".repeat(depth)), Level::User);
        let _ = parse(&format!("submit{} = 1", ".a".repeat(depth)), Level::User);
    }
}

/// Site and user may say what they like; a project file, which is somebody else's, only less.
#[test]
fn a_project_lowers_limits_and_raises_none() {
    let limits = |site: &str, own: &str, project: &str| {
        let parse = |text: &str, level| parse(text, level).unwrap();
        let site = parse(site, Level::Site);
        let merged = Config::merge(site, user(own), parse(project, Level::Project));
        shown(&merged)
    };
    let (ten, twenty) = ("limits.entries = 10", "limits.entries = 20");
    assert_eq!(limits(ten, twenty, ""), ["limits.entries = 20 from user (config.toml:1)"]);
    assert_eq!(limits(twenty, ten, ""), ["limits.entries = 10 from user (config.toml:1)"]);
    assert_eq!(limits("", ten, twenty), ["limits.entries = 10 from user (config.toml:1)"]);
    assert_eq!(limits("", twenty, ten), ["limits.entries = 10 from project (moorline.toml:1)"]);
    for bad in ["0", "-1", "'many'", "1.5"] {
        let error = parse(&format!("limits.entries = {bad}"), Level::User).unwrap_err();
        assert_eq!(error.kind(), Kind::Configuration, "{bad}");
    }
}
