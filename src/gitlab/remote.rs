//! The project that a clone was made of, by its git configuration. No git program is started.
//!
//! ```text
//!  DIR/.git/config                              a clone
//!  DIR/.git = "gitdir: PATH"                    a worktree or submodule
//!      PATH/commondir = "../.."  --> config     a worktree's
//!      PATH/config                              a submodule's
//!  [remote "origin"] url = https://host[:port]/group/project.git
//!                          ssh://git@host[:port]/group/project.git
//!                          git@host:group/project.git
//! ```
//!
//! Source: git's gitrepository-layout(5), git-config(1), git-fetch(1) "Git URLs". A clone is
//! somebody else's input: it names a host and a project, never a secret (user and password in a
//! URL are dropped), and whoever uses it must not send a credential there because of it.
//! Directories of other users are passed by, as git does (a `.git` in `/tmp` is anybody's); what belongs to
//! the caller and can be written by others is an error.
//!
//! Not promised: `include`, `insteadOf` and remotes of the user's own git configuration.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::ServerUrl;
use crate::files::{Folder, ForeignError, ForeignFile, Outsider, Writers, explained};
use crate::oci::{Registry, Repository};

/// Larger files are not read.
const MOST_BYTES: u64 = 1 << 20;

/// Where a clone came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The web server: `host`, or `host:port` where the URL is one of the web's.
    pub host: Registry,
    /// Where its API is: https, or http on loopback; `None` where the URL is of plain http to
    /// another machine. Not promised: a GitLab below a path.
    pub server: Option<ServerUrl>,
    /// `group/project`, in lower case as registries write it.
    pub project: String,
    /// The file that says so.
    pub file: PathBuf,
}

/// What a look for a clone came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no clone.
    Nothing,
    /// There is one, and it names no server and project.
    Nameless,
    /// There is one of somebody else, which was passed by: what of it, and whose it is.
    Strangers(PathBuf, String),
    /// Where it came from.
    Remote(Remote),
}

/// Finds the remote `origin` (else the only one) of the clone that `dir` lies in; a clone of somebody else is none.
///
/// # Errors
/// As [`look`].
pub fn remote(dir: &Path, writers: &Writers) -> io::Result<Option<Remote>> {
    Ok(match look(dir, writers)? {
        Found::Remote(remote) => Some(remote),
        Found::Nothing | Found::Nameless | Found::Strangers(..) => None,
    })
}

/// The same, and why there is none. What others than `writers` can have written is not read.
///
/// # Errors
/// When the clone's own files cannot be read, can be written by others, or name each other in vain.
pub fn look(dir: &Path, writers: &Writers) -> io::Result<Found> {
    let strangers = |path: &Path, why: String| Ok(Found::Strangers(path.to_owned(), why));
    for above in dir.ancestors() {
        let dot_git = above.join(".git");
        let found = match fs::metadata(&dot_git) {
            Ok(found) => found,
            Err(e)
                if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                continue;
            }
            // a clone may be there all the same: another one above it would be the wrong project
            Err(e) => return Err(explained(&dot_git, e)),
        };
        if !writers.trusts(found.uid()) {
            return strangers(&dot_git, format!("it belongs to uid {}", found.uid()));
        }
        let file = config_of(&dot_git, &found, above, writers)?;
        // the folder is ours, and what it points to must be as well
        let folder = file.parent().unwrap_or(&file);
        match Folder::open(folder)?.outsider(writers)? {
            None => {}
            Some(owner @ Outsider::Owner { .. }) => return strangers(folder, owner.to_string()),
            Some(other) => return Err(refused(folder, &ForeignError::Outsider(other))),
        }
        let text = match read(&file, writers) {
            Err(ForeignError::Outsider(owner @ Outsider::Owner { .. })) => {
                return strangers(&file, owner.to_string());
            }
            Err(ForeignError::Io(error)) => return Err(error),
            Err(error) => return Err(refused(&file, &error)),
            Ok(text) => text,
        };
        let named = url(&text).and_then(|url| parse(&url));
        return Ok(match named {
            None => Found::Nameless,
            Some(Named { scheme, host, project }) => {
                let server = format!("{scheme}://{host}").parse().ok();
                Found::Remote(Remote { host, server, project, file })
            }
        });
    }
    Ok(Found::Nothing)
}

fn refused(path: &Path, why: &ForeignError) -> io::Error {
    io::Error::other(format!("{}: {why}", path.display()))
}

/// The configuration of a `.git` folder or file.
fn config_of(
    dot_git: &Path,
    found: &Metadata,
    above: &Path,
    writers: &Writers,
) -> io::Result<PathBuf> {
    if found.is_dir() {
        return Ok(dot_git.join("config"));
    }
    let text = read(dot_git, writers).map_err(|error| refused(dot_git, &error))?;
    let to = text.strip_prefix("gitdir:").map(|rest| rest.trim_matches([' ', '\t', '\n', '\r']));
    let no_file = || io::Error::other(format!("{} names no gitdir", dot_git.display()));
    let folder = above.join(to.filter(|to| !to.is_empty()).ok_or_else(no_file)?);
    let commondir = folder.join("commondir");
    match read(&commondir, writers) {
        Ok(common) => Ok(folder.join(common.trim_end()).join("config")),
        Err(error) if error.is_missing() => Ok(folder.join("config")),
        Err(error) => Err(refused(&commondir, &error)),
    }
}

/// git itself follows a link here: worktrees and `repo` make some.
fn read(path: &Path, writers: &Writers) -> Result<String, ForeignError> {
    let bytes = ForeignFile::written_by(writers, MOST_BYTES).through_links().bytes(path)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The URL of `origin`, else of the only remote.
fn url(config: &str) -> Option<String> {
    let mut urls: Vec<(String, String)> = Vec::new();
    let mut remote = None;
    let mut lines = config.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        if let Some(header) = line.strip_prefix('[') {
            remote = section(header);
            continue;
        }
        let Some(name) = &remote else { continue };
        let Some((key, value)) = line.split_once('=') else { continue };
        if key.trim().eq_ignore_ascii_case("url") {
            let mut text = value.to_owned();
            while text.ends_with('\\') && !text.ends_with("\\\\") {
                text.pop();
                text.push_str(lines.next().unwrap_or_default());
            }
            // of several, git fetches from the first
            if !urls.iter().any(|(known, _)| known == name) {
                urls.push((name.clone(), plain(&text)));
            }
        }
    }
    let origin = urls.iter().position(|(name, _)| name == "origin");
    match (origin, urls.len()) {
        (Some(at), _) => Some(urls.swap_remove(at).1),
        (None, 1) => urls.pop().map(|(_, url)| url),
        (None, _) => None,
    }
}

/// `NAME` of `remote "NAME"]`.
fn section(header: &str) -> Option<String> {
    let (section, rest) = header.split_once('"')?;
    let (name, end) = rest.rsplit_once('"')?;
    let is_remote = section.trim().eq_ignore_ascii_case("remote");
    (is_remote && end.trim_start().starts_with(']')).then(|| name.replace('\\', ""))
}

/// A value without its quotes, escapes and comment.
fn plain(value: &str) -> String {
    let mut text = String::new();
    let mut quoted = false;
    let mut chars = value.trim().chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => text.extend(chars.next()),
            '#' | ';' if !quoted => break,
            c => text.push(c),
        }
    }
    text.trim().to_owned()
}

/// What a remote's URL says.
struct Named {
    scheme: &'static str,
    host: Registry,
    project: String,
}

/// Reads a remote's URL; `None` for a path or a scheme that is no server's.
fn parse(url: &str) -> Option<Named> {
    let mut scheme = "https";
    let (host, path) = match url.split_once("://") {
        Some((of, rest)) if matches!(of, "https" | "http") => {
            if of == "http" {
                scheme = "http";
            }
            let (host, path) = rest.split_once('/')?;
            (without_user(host).to_owned(), path)
        }
        // its port is ssh's, not the web server's
        Some(("ssh" | "git" | "git+ssh" | "ssh+git", rest)) => {
            let (host, path) = rest.split_once('/')?;
            (without_port(without_user(host)).to_owned(), path)
        }
        Some(_) => return None,
        None => {
            let (host, path) = url.split_once(':')?;
            if host.contains('/') {
                return None; // ./a:b is a path
            }
            (without_user(host).to_owned(), path)
        }
    };
    let path = path.trim_matches('/');
    let project = path.strip_suffix(".git").unwrap_or(path).to_lowercase();
    // GitLab's paths are at least a group and a project
    let good = project.contains('/') && project.parse::<Repository>().is_ok();
    Some(Named {
        scheme,
        host: host.to_lowercase().parse().ok()?,
        project: good.then_some(project)?,
    })
}

fn without_user(host: &str) -> &str {
    host.rsplit('@').next().unwrap_or(host)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls() {
        let of = |url: &str| {
            let Named { scheme, host, project } = parse(url)?;
            Some(format!("{scheme}://{host} {project}"))
        };
        for (url, expected) in [
            ("https://gitlab.example/Group/Project.git", "https://gitlab.example group/project"),
            ("https://user:hunter2@gitlab.example:8443/g/p/", "https://gitlab.example:8443 g/p"),
            ("ssh://git@gitlab.example:7999/g/sub/p.git", "https://gitlab.example g/sub/p"),
            ("git@gitlab.example:g/p.git", "https://gitlab.example g/p"),
            ("gitlab.example:/g/p", "https://gitlab.example g/p"),
            ("http://127.0.0.1:3000/g/p", "http://127.0.0.1:3000 g/p"),
        ] {
            assert_eq!(of(url).as_deref(), Some(expected), "{url}");
        }
        for bad in [
            "",
            "/srv/git/g/p.git",
            "../g/p",
            "./a:b/c",
            "file:///srv/g/p",
            "ext::sh -c id",
            "ext::sh -c g/p",
            "https://gitlab.example",
            "https://gitlab.example/p",
            "https:///g/p",
            "git@gitlab.example:g/../p",
            "git@-oProxyCommand=id:g/p",
            "git@gitlab.example:g/p\u{1b}[2J",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn configurations() {
        let two = "[core]\n\tbare = false\n[remote \"up\"]\n\turl = a:g/up\n[Remote \"origin\"]\n\
                   \tfetch = +refs\n\tURL = \"b:g/p\" ; comment\n\turl = c:g/second\n[branch \"x\"]\n\turl = no\n";
        assert_eq!(url(two).as_deref(), Some("b:g/p"));
        assert_eq!(url("[remote \"up\"]\nurl = a:g/\\\nup").as_deref(), Some("a:g/up"));
        assert_eq!(url("[remote \"a\"]\nurl = a:g/a\n[remote \"b\"]\nurl = b:g/b"), None);
        assert_eq!(url("url = a:g/a"), None);
        assert_eq!(url("[remote \"origin\"]\nurl = x\\"), Some("x".into()));
    }

    #[test]
    fn clones_worktrees_and_submodules() {
        let dir = tempfile::tempdir().unwrap();
        let uid = dir.path().metadata().unwrap().uid();
        let mine = Writers::of_caller();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let config =
            |path: &str| format!("[remote \"origin\"]\n\turl = git@gitlab.example:{path}.git\n");
        let of = |name: &str| {
            let inside = dir.path().join(name);
            fs::create_dir_all(&inside).unwrap();
            remote(&inside, &mine).unwrap().map(|found| {
                assert_eq!(found.server, "https://gitlab.example".parse().ok());
                found.project
            })
        };
        write("main/.git/config", &config("g/main"));
        assert_eq!(of("main/a/b").as_deref(), Some("g/main"));
        write("main/.git/worktrees/w/commondir", "../..\n");
        write(
            "tree/.git",
            &format!("gitdir: {}\n", dir.path().join("main/.git/worktrees/w").display()),
        );
        assert_eq!(of("tree/deep").as_deref(), Some("g/main"));
        write("main/.git/modules/sub/config", &config("g/sub"));
        write("main/sub/.git", "gitdir: ../.git/modules/sub\n");
        assert_eq!(of("main/sub").as_deref(), Some("g/sub"));
        assert_eq!(of("none"), None);
        // a token would travel in the clear
        let clear = config("g/p").replace("git@gitlab.example:", "http://gitlab.example/");
        write("clear/.git/config", &clear);
        let found = remote(&dir.path().join("clear"), &mine).unwrap().unwrap();
        assert_eq!((found.host.as_str(), found.server), ("gitlab.example", None));
        // another user's, above the working directory
        let inside = dir.path().join("main");
        if uid != 0 {
            let others = Writers::of_user(uid + 1);
            assert_eq!(remote(&inside, &others).unwrap(), None);
            let Found::Strangers(path, why) = look(&inside, &others).unwrap() else { panic!() };
            assert_eq!((path, why), (inside.join(".git"), format!("it belongs to uid {uid}")));
        }
        // one that others can write
        let open = dir.path().join("main/.git/config");
        let mode = |mode| fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o666);
        let error = remote(&inside, &mine).unwrap_err().to_string();
        assert!(error.contains("config: everybody may write it"), "{error}");
        assert!(remote(&inside, &mine.clone().and_everybody()).unwrap().is_some());
        mode(0o644);
        // a pipe is not waited for
        fs::create_dir_all(dir.path().join("pipe/.git")).unwrap();
        let pipe = dir.path().join("pipe/.git/config");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let error = remote(&dir.path().join("pipe"), &mine).unwrap_err().to_string();
        assert!(error.contains("a named pipe"), "{error}");
        write("broken/.git", "nonsense");
        assert!(remote(&dir.path().join("broken"), &mine).is_err());
        write("dangling/.git", "gitdir: nowhere");
        assert!(remote(&dir.path().join("dangling"), &mine).is_err());
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text in "(?s).{0,200}", value in "[a-z@:/.\\\\\"#;-]{0,60}") {
            let _ = url(&text);
            let _ = url(&format!("[remote \"origin\"]\nurl = {value}\n")).and_then(|url| parse(&url));
        }
    }
}
