//! Which of a job's mounts this machine has.

use std::fs;
use std::path::{Path, PathBuf};

use super::ExecuteError;
use crate::job::{Mount, Need};
use crate::runtime::Bind;
use crate::worker::MountNote;

/// The mounts that are there, and notes on optional ones that are not.
///
/// # Errors
/// [`ExecuteError::MountMissing`] for a required one.
pub(super) fn find(mounts: &[Mount]) -> Result<(Vec<Bind>, Vec<MountNote>), ExecuteError> {
    let (mut binds, mut notes) = (Vec::new(), Vec::new());
    for mount in mounts {
        // asking for the metadata also starts an automount
        let found = fs::canonicalize(&mount.source)
            .and_then(|path| fs::metadata(&path).map(|m| (path, m.is_dir())));
        match (found, mount.need) {
            (Ok((source, directory)), _) => binds.push(Bind {
                source,
                target: mount.target.as_str().into(),
                access: mount.access,
                directory,
            }),
            (Err(_), Need::Silent) => {}
            (Err(error), Need::Optional) => notes.push(MountNote {
                source: mount.source.clone(),
                target: mount.target.clone(),
                why: error.to_string(),
            }),
            (Err(error), Need::Required) => {
                return Err(ExecuteError::MountMissing {
                    mount: mount.to_string(),
                    why: error.to_string(),
                });
            }
        }
    }
    Ok((binds, notes))
}

/// Where `hidden` would be seen in the container through one of the binds.
pub(super) fn seen_through(binds: &[Bind], hidden: &Path) -> Vec<PathBuf> {
    let Ok(hidden) = fs::canonicalize(hidden) else { return Vec::new() };
    binds
        .iter()
        .filter_map(|bind| {
            let rest = hidden.strip_prefix(&bind.source).ok()?;
            // by component: no slash behind it
            Some(bind.target.join(rest).components().collect())
        })
        .collect()
}

/// Refuses binds whose source lies inside a directory that the container must not see.
///
/// # Errors
/// [`ExecuteError::NotStarted`] naming the mount.
pub(super) fn refuse_inside(binds: &[Bind], hidden: &Path) -> Result<(), ExecuteError> {
    let Ok(hidden) = fs::canonicalize(hidden) else { return Ok(()) };
    match binds.iter().find(|b| b.source != hidden && b.source.starts_with(&hidden)) {
        Some(bind) => Err(ExecuteError::NotStarted(format!(
            "the mount {}:{} would show {}, which belongs to moorline",
            bind.source.display(),
            bind.target.display(),
            hidden.display()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_kinds_of_need() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().to_str().unwrap();
        let parse = |text: &str| text.parse::<Mount>().unwrap();
        let silent = Mount { source: "/nowhere".into(), ..Mount::cvmfs() };
        let there = parse(&format!("{here}:/data:ro"));
        let (binds, notes) = find(&[silent, parse("/nowhere:/n"), there]).unwrap();
        assert_eq!((binds.len(), binds[0].target.as_path()), (1, Path::new("/data")));
        assert_eq!((notes.len(), notes[0].source.as_str()), (1, "/nowhere"));
        let error = find(&[parse("/nowhere:/n:required")]).unwrap_err();
        assert_eq!(error.exit_code(), 212);
    }

    #[test]
    fn hidden_paths_are_found_by_component() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        for name in ["scratch/control", "scratch2"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        let bind = |source: &str, target: &str| Bind {
            source: base.join(source),
            target: target.into(),
            access: crate::job::Access::Rw,
            directory: true,
        };
        let binds = [bind("", "/all/"), bind("scratch", "/s"), bind("scratch2", "/s2")];
        assert_eq!(
            seen_through(&binds, &base.join("scratch/control")),
            ["/all/scratch/control", "/s/control"].map(PathBuf::from)
        );
        assert_eq!(
            seen_through(&binds, &base.join("scratch")),
            ["/all/scratch", "/s"].map(PathBuf::from)
        );

        refuse_inside(&binds, &base.join("scratch/control")).unwrap();
        let within = [bind("scratch/control", "/c")];
        assert!(refuse_inside(&within, &base.join("scratch")).is_err());
        refuse_inside(&[bind("scratch2", "/c")], &base.join("scratch")).unwrap();
    }
}
