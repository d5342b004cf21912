//! The console blocks of the book and the README are what the program does.
//!
//! Every block that is called `console` runs, page by page, in a home of its own, against the registry
//! stand-in. A block that cannot run here has a comment above it with one of the [`REASONS`], and there are at
//! most [`NOT_RUN`] of them:
//!
//! ```text
//! <!-- not run: needs Slurm -->
//! ```
//!
//! In a block `$ COMMAND` (more lines after a backslash) is run by `sh`, and what follows is what it prints on
//! stdout and stderr, in this order of time. `gitlab-registry.example` is the stand-in, and `https://gitlab.example`
//! the other host that it names for tokens. Digests, job ids, times and sizes are compared by their form; `[..]`
//! stands for the rest of a line, a line `...` for any lines. The files `token` (the deploy token's secret) and
//! `digest` (the image's) are there.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use snapbox::IntoData;

use moorline::standin::Config;

use crate::support::{Home, PROJECT, SECRET, Server, USER, config, images, program};

/// Why a block may not run here.
const REASONS: [&str; 2] = ["needs Slurm", "needs GitLab"];
/// How many blocks at most do not run here.
const NOT_RUN: usize = 4;
/// Pages that another test plays, with what it needs: the pipeline of `tests/parts/template.sh`.
const ELSEWHERE: [&str; 1] = ["docs/ci.md"];
/// The name that the pages use.
const NAME: &str = "gitlab-registry.example";
/// GitLab's own address there.
const GITLAB: &str = "https://gitlab.example";

/// A block of a page.
struct Block {
    line: usize,
    text: String,
    /// Why it is not run.
    not_run: Option<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut found, mut lines, mut before) = (vec![], page.lines().enumerate(), "");
    while let Some((number, line)) = lines.next() {
        if line.trim() == "```console" {
            let text = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
            let text = text.fold(String::new(), |all, line| all + line + "\n");
            let not_run =
                before.strip_prefix("<!-- not run: ").and_then(|b| b.strip_suffix(" -->"));
            found.push(Block { line: number + 1, text, not_run: not_run.map(str::to_owned) });
        }
        before = line.trim();
    }
    found
}

/// `docs/` below it, and the README.
fn pages() -> Vec<PathBuf> {
    fn below(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "md") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![root.join("README.md")];
    below(&root.join("docs"), &mut found);
    found.sort();
    found
}

/// What differs at each run, by its form alone.
fn form(text: &str) -> String {
    let mut all = String::new();
    for line in text.lines() {
        let mut words = vec![];
        for word in line.split(' ') {
            let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
            let id = |text: &str| {
                let alphabet = text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
                text.len() == 26 && text.starts_with("01") && alphabet
            };
            let number = |text: &str| {
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            };
            let date = |text: &str| {
                text.len() == 10 && text.starts_with('2') && text.matches('-').count() == 2
            };
            let bare = word.trim_end_matches([':', ',', '.', ')']);
            let end = &word[bare.len()..];
            let unit = words.last().is_some_and(|last: &String| number(last))
                && ["MB", "kB", "B", "s", "ms"].contains(&bare.trim_start_matches('('));
            if let Some((front, digest)) = bare.split_once("sha256:")
                && hex(digest.get(..64).unwrap_or("x"))
            {
                words.push(format!("{front}sha256:HEX{}{end}", &digest[64..]));
            } else if id(bare) {
                words.push(format!("JOB{end}"));
            } else if date(bare) {
                words.push(format!("DATE{end}"));
            } else if bare.ends_with('Z') && bare.matches(':').count() == 2 {
                words.push(format!("TIME{end}"));
            } else if unit {
                let last = words.len() - 1;
                words[last] = "N".into();
                words.push(word.to_owned());
            } else {
                words.push(word.to_owned());
            }
        }
        all.push_str(words.join(" ").trim_end());
        all.push('\n');
    }
    all
}

/// Runs the commands of a block, and gives the block with what they print now.
fn played(block: &str, server: &Server, home: &Home) -> String {
    let (mut all, address) = (String::new(), server.address());
    let path = format!("{}:{}", program().parent().unwrap().display(), home.env["PATH"]);
    let mut lines = block.lines();
    while let Some(line) = lines.next() {
        let Some(first) = line.strip_prefix("$ ") else { continue };
        let mut command = first.to_owned();
        while command.ends_with('\\') {
            write!(command, "\n{}", lines.next().unwrap_or_default()).unwrap();
        }
        writeln!(all, "$ {command}").unwrap();
        let mut shell = std::process::Command::new("/bin/sh");
        let command = command.replace(NAME, &address).replace(GITLAB, &gitlab(server));
        let script = format!("exec 2>&1\n{command}");
        shell.args(["-c", &script]).env_clear().envs(&home.env).env("PATH", &path);
        let output = shell.current_dir(home.path("here")).stdin(Stdio::null()).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).replace(&gitlab(server), GITLAB);
        all.push_str(&printed.replace(&address, NAME));
        if !output.status.success() {
            writeln!(all, "(exit code {})", output.status.code().unwrap_or(-1)).unwrap();
        }
    }
    all
}

/// A site as most are: the registry has one name, and GitLab, to which it sends for tokens, another one.
fn site() -> Server {
    let server = Server::start(Config { realm_host: Some("localhost".into()), ..config() });
    server.push(PROJECT, &images().0, &["v1", "main"]);
    server
}

fn log_in(server: &Server, home: &Home) {
    let (scope, realm) = (server.name(""), gitlab(server));
    let first = ["login", &scope, "--username", USER, "--realm", &realm];
    let args = [&first[..], &["--password-stdin", "--store", "file"]].concat();
    home.run_with(&args, SECRET).exits(0);
}

/// What `site` names for tokens.
fn gitlab(server: &Server) -> String {
    server.running.realm().trim_end_matches("/jwt/auth").to_owned()
}

/// A home in which short names mean the stand-in.
fn newcomer(server: &Server) -> Home {
    let mut home = Home::new(server);
    // where people have them, and as pages name them
    for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
        home.env.remove(name);
    }
    home.env.remove("MOORLINE_CACHE");
    home.env.remove("MOORLINE_LEDGER");
    home.mkdir(".config");
    home.mkdir(".config/moorline");
    let address = server.address();
    home.write(
        ".config/moorline/config.toml",
        &format!(
            "registry = \"{address}\"\ninsecure_registries = [\"{address}\", \"{}\"]\n",
            gitlab(server).trim_start_matches("http://"),
        ),
    );
    home.write("here/token", SECRET);
    home.write("here/digest", &images().0.manifest_digest.to_string());
    home.write(
        "here/moorline.toml",
        &format!("[images]\nanalysis = \"{address}/physics/analysis:v1\"\n"),
    );
    home
}

#[test]
fn console_blocks_are_what_the_program_does() {
    let (mut wrong, mut not_run, mut ran) = (String::new(), vec![], 0);
    for page in pages() {
        let found = blocks(&fs::read_to_string(&page).unwrap());
        let name = page.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string();
        if ELSEWHERE.contains(&name.as_str()) {
            continue;
        }
        let skipped = found.iter().filter_map(|block| Some((block.line, block.not_run.clone()?)));
        for (line, why) in skipped {
            assert!(REASONS.contains(&why.as_str()), "{name}:{line}: {why}");
            not_run.push(format!("{name}:{line}"));
        }
        if found.iter().all(|block| block.not_run.is_some()) {
            continue;
        }
        let server = site();
        let home = newcomer(&server);
        // pages that do not log in begin where a login was
        if !found[0].text.contains("moorline login") {
            log_in(&server, &home);
        }
        for block in found {
            if block.not_run.is_some() {
                continue;
            }
            let place = format!("{name}:{}", block.line);
            ran += 1;
            let actual = form(&played(&block.text, &server, &home));
            let expected = form(&block.text);
            let compared = snapbox::Assert::new().normalize_paths(false).try_eq(
                Some(&place),
                actual.into_data(),
                expected.into_data(),
            );
            if let Err(error) = compared {
                writeln!(wrong, "{error}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(ran > 15, "{ran} blocks were found");
    assert!(not_run.len() <= NOT_RUN, "not run: {not_run:?}");
}

#[test]
fn forms_are_compared_and_words_are() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let said = format!(
        "pinned r/p@{digest}\n01m8jcfaetxgxn3fwyz1pbdsd7: ended, 60.3 MB at 2026-11-29 00:49:54Z\n"
    );
    let formed = "pinned r/p@sha256:HEX\nJOB: ended, N MB at DATE TIME\n";
    assert_eq!(form(&said), formed);
    assert_eq!(form("exit code 3, 5 files\n"), "exit code 3, 5 files\n");
    let page = "a\n<!-- not run: needs X -->\n```console\n$ x\n```\n```console\n$ y\nz\n```\n";
    let found = blocks(page);
    assert_eq!(found[0].not_run.as_deref(), Some("needs X"));
    assert_eq!((found[1].line, found[1].text.as_str()), (6, "$ y\nz\n"));
}
