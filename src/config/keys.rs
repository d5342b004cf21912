//! Names of keys: those of a job file, the nearest known key for one that is misspelled, and names and values that look
//! like a secret.
//!
//! The keys of a configuration file are listed in `settings/rows.rs`.

/// The keys of a job file: those of the long flags.
pub(super) const JOB: [&str; 37] = [
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
    "proxy",
    "ssh-agent",
    "entrypoint",
    "scratch",
    "gpu",
    "require",
    "cpus",
    "memory",
    "time",
    "queue",
    "account",
    "array",
    "workdir",
    "delivery",
    "exe",
    "input",
    "output",
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
    fn suggestions() {
        let known = ["registry", "submit.mounts", "submit.cpus", "backend.*.queue"];
        let near = |path: &[&str]| nearest(path, known);
        assert_eq!(near(&["registy"]).as_deref(), Some("registry"));
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
