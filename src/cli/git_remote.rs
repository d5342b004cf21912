//! The server that this directory's git repository was cloned from: its remote `origin`.
//!
//! ```text
//!  https://gitlab.example:8443/group/project.git  -> https://gitlab.example:8443
//!  ssh://git@gitlab.example:2222/group/project    -> https://gitlab.example
//!  git@gitlab.example:group/project.git           -> https://gitlab.example
//! ```
//!
//! Source: git-config(1), gitrepository-layout(5). Read, not asked of `git`, which runs what a
//! repository's configuration names. Whoever made the directory chose the remote: it may select a
//! token that was kept for this very server, and nothing else.
//!
//! Not promised: worktrees and submodules (`.git` is a file there), `insteadOf`, a GitLab below a path.

use std::path::Path;

use crate::config::ServerUrl;

/// The longest configuration that is read, in bytes.
const MOST: u64 = 64 << 10;

/// The server of the repository that `directory` is in.
pub fn server(directory: &Path) -> Option<ServerUrl> {
    use std::io::Read;
    let repository = directory.ancestors().find(|above| above.join(".git").exists())?;
    let file = std::fs::File::open(repository.join(".git/config")).ok()?;
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).ok()?;
    server_of(&origin(&text)?)
}

/// `url` of `[remote "origin"]`, the last one as git takes it.
fn origin(config: &str) -> Option<String> {
    let mut inside = false;
    let mut found = None;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.replace(' ', "") == "[remote\"origin\"]";
        } else if inside
            && let Some((key, value)) = line.split_once('=')
            && key.trim().eq_ignore_ascii_case("url")
        {
            found = Some(value.trim().trim_matches('"').to_owned());
        }
    }
    found
}

fn server_of(url: &str) -> Option<ServerUrl> {
    let without_user = |authority: &str| -> String {
        authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_owned()
    };
    let text = match url.split_once("://") {
        Some((scheme @ ("https" | "http"), rest)) => {
            format!("{scheme}://{}", without_user(rest.split('/').next()?))
        }
        Some(("ssh" | "git+ssh", rest)) => {
            let host = without_user(rest.split('/').next()?);
            // the port is that of ssh
            let host = host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host);
            format!("https://{host}")
        }
        Some(_) => return None,
        // a path has no colon before its first slash
        None => {
            // `ext::command` is a helper, not a host
            let (host, path) = url.split_once(':').filter(|(host, _)| !host.contains('/'))?;
            if path.starts_with(':') {
                return None;
            }
            format!("https://{}", without_user(host))
        }
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_remotes() {
        let of = |url: &str| server_of(url).map(|server| server.to_string());
        for (url, server) in [
            ("https://gitlab.example/group/project.git", Some("https://gitlab.example")),
            (
                "https://user:gldt-secret@GitLab.example:8443/g/p",
                Some("https://gitlab.example:8443"),
            ),
            ("git@gitlab.example:group/project.git", Some("https://gitlab.example")),
            ("ssh://git@gitlab.example:2222/g/p.git", Some("https://gitlab.example")),
            ("http://127.0.0.1:80/g/p", Some("http://127.0.0.1:80")),
            ("http://gitlab.example/g/p", None),
            ("/srv/git/p.git", None),
            ("../p:q", None),
            ("file:///srv/p", None),
            ("ext::sh -c x", None),
            ("", None),
        ] {
            assert_eq!(of(url).as_deref(), server, "{url}");
        }
    }

    #[test]
    fn the_last_url_of_origin() {
        let config = "[core]\n\turl = no\n[remote \"upstream\"]\n\turl = git@up.example:a\n\
                      [remote \"origin\"]\n\turl = git@old.example:a\n\turl = git@new.example:a\n\
                      \tfetch = +refs/heads/*:refs/remotes/origin/*\n[branch \"main\"]\n\tremote = origin\n";
        assert_eq!(origin(config).as_deref(), Some("git@new.example:a"));
        assert_eq!(origin("[remote \"other\"]\nurl = x:y\n"), None);
    }
}
