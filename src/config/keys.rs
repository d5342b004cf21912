//! The keys of a configuration file, and who may set them.

/// Who may set a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Also a project file: names, references, resources, mounts, environment.
    Anyone,
    /// Site, user, environment, flags: whom to trust, where to write, what to start.
    Trusted,
}

/// Every key; `*` stands for a name that the author chooses. A key that is not here is unknown.
pub(super) const CONFIG: [(&str, Who); 57] = [
    // that of the clone's own GitLab, which `cli` checks
    ("registry", Who::Anyone),
    ("insecure_registries", Who::Trusted),
    ("ca_files", Who::Trusted),
    ("path_prefixes", Who::Trusted),
    ("requests_at_once", Who::Trusted),
    ("trusted_groups", Who::Trusted),
    ("helper_variables", Who::Trusted),
    ("realms.*", Who::Trusted),
    ("cache", Who::Trusted),
    ("ledger", Who::Trusted),
    ("jobs_dir", Who::Trusted),
    ("node_cache", Who::Trusted),
    ("syscall_filter", Who::Trusted),
    ("store.site", Who::Trusted),
    ("store.site_owner", Who::Trusted),
    ("store.site_keys", Who::Trusted),
    ("store.max_size", Who::Trusted),
    ("store.trash_age", Who::Trusted),
    ("registry_sifs.keys", Who::Trusted),
    ("registry_sifs.look_up", Who::Trusted),
    ("images.*", Who::Anyone),
    ("submit.backend", Who::Anyone),
    ("submit.runtime", Who::Anyone),
    ("submit.mounts", Who::Anyone),
    ("submit.env.*", Who::Anyone),
    ("submit.cpus", Who::Anyone),
    ("submit.memory", Who::Anyone),
    ("submit.time", Who::Anyone),
    ("submit.grace", Who::Anyone),
    ("backend.*.platform", Who::Anyone),
    ("backend.*.queue", Who::Anyone),
    ("backend.*.account", Who::Anyone),
    ("backend.*.hold", Who::Trusted),
    ("gitlab.url", Who::Trusted),
    ("gitlab.registry", Who::Trusted),
    ("shub.endpoint", Who::Trusted),
    ("wait.unknown", Who::Trusted),
    ("wait.silent", Who::Trusted),
    ("limits.entries", Who::Anyone),
    ("limits.layer_bytes", Who::Anyone),
    ("limits.metadata_bytes", Who::Anyone),
    ("limits.content_bytes", Who::Anyone),
    ("limits.expansion_ratio", Who::Anyone),
    ("limits.path_depth", Who::Anyone),
    ("limits.path_bytes", Who::Anyone),
    ("limits.link_steps", Who::Anyone),
    ("limits.header_bytes", Who::Anyone),
    ("limits.xattr_bytes", Who::Anyone),
    ("limits.sparse_pieces", Who::Anyone),
    ("limits.manifest_bytes", Who::Anyone),
    ("limits.config_bytes", Who::Anyone),
    ("limits.token_bytes", Who::Anyone),
    ("limits.index_entries", Who::Anyone),
    ("limits.layers", Who::Anyone),
    ("limits.tags", Who::Anyone),
    ("policy.plain_match_only", Who::Anyone),
    ("policy.*", Who::Anyone),
];

/// The keys of a job file: those of the long flags.
pub(super) const JOB: [&str; 27] = [
    "image",
    "command",
    "mount",
    "env",
    "name",
    "backend",
    "runtime",
    "network",
    "grace",
    "krb",
    "require",
    "cpus",
    "memory",
    "time",
    "queue",
    "account",
    "workdir",
    "platform",
    "option",
    "project",
    "ref",
    "commit",
    "pipeline",
    "job",
    "mr",
    "release",
    "repository",
];

/// What a path is among the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A key.
    Key(&'static str, Who),
    /// A table that holds keys.
    Table,
    /// Nothing that is known.
    Nothing,
}

/// Looks a path up in [`CONFIG`].
pub(super) fn find(path: &[&str]) -> Found {
    let begins = |key: &'static str| {
        let mut parts = key.split('.');
        path.iter().all(|name| parts.next().is_some_and(|part| part == "*" || part == *name))
    };
    let length = |key: &str| key.split('.').count();
    let mut table = Found::Nothing;
    for (key, who) in CONFIG {
        if begins(key) {
            if length(key) == path.len() {
                return Found::Key(key, who);
            }
            table = Found::Table;
        }
    }
    table
}

/// The known key that looks most like `path`: by its whole path, or by its last name when that
/// stands in the wrong table.
pub(super) fn nearest<'a>(
    path: &[&str],
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let whole = path.join(".");
    let last = path.last().copied().unwrap_or_default();
    let mut best: Option<(usize, String)> = None;
    for key in known {
        // the author's own name stays in the suggestion
        let named: Vec<&str> = key
            .split('.')
            .enumerate()
            .map(
                |(i, part)| if part == "*" { path.get(i).copied().unwrap_or("NAME") } else { part },
            )
            .collect();
        let tail = key.rsplit('.').next().filter(|tail| *tail != "*");
        let misplaced = tail.map_or(usize::MAX, |tail| 1 + distance(last, tail));
        let far = distance(&whole, &named.join(".")).min(misplaced);
        let close = far <= 1 + last.chars().count() / 3;
        if close && best.as_ref().is_none_or(|(other, _)| far < *other) {
            best = Some((far, named.join(".")));
        }
    }
    best.map(|(_, key)| key)
}

/// Words in the name of a key that would hold a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["password", "passwd", "secret", "token", "credential"].iter().any(|word| name.contains(word))
}

/// The scheme of an address that has a password in it: `SCHEME://USER:PASSWORD@HOST...`.
pub(super) fn password_in(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    // a password may hold a slash that nobody encoded
    let (user, _) = authority.rsplit_once('@').or_else(|| rest.rsplit_once('@'))?;
    user.contains(':').then_some(scheme)
}

/// Levenshtein's distance in characters. Long texts are not compared: they are no typing error.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX - 1;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(find(&["cache"]), Found::Key("cache", Who::Trusted));
        assert_eq!(
            find(&["backend", "slurm", "queue"]),
            Found::Key("backend.*.queue", Who::Anyone)
        );
        assert_eq!(find(&["backend", "slurm"]), Found::Table);
        assert_eq!(find(&["realms"]), Found::Table);
        assert_eq!(find(&["cache", "x"]), Found::Nothing);
        assert_eq!(find(&["submit", "x"]), Found::Nothing);
    }

    #[test]
    fn suggestions() {
        let near = |path: &[&str]| nearest(path, CONFIG.map(|(key, _)| key));
        assert_eq!(near(&["registy"]).as_deref(), Some("registry"));
        assert_eq!(near(&["insecure_registry"]).as_deref(), Some("insecure_registries"));
        assert_eq!(near(&["submit", "mount"]).as_deref(), Some("submit.mounts"));
        assert_eq!(near(&["cpus"]).as_deref(), Some("submit.cpus"));
        assert_eq!(near(&["backend", "slurm", "que"]).as_deref(), Some("backend.slurm.queue"));
        assert_eq!(near(&["nonsense"]), None);
        assert_eq!(near(&["x".repeat(100_000).as_str()]), None);
    }

    #[test]
    fn distances() {
        for (a, b, far) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
            assert_eq!(distance(a, b), far);
            assert_eq!(distance(b, a), far);
        }
    }
}
