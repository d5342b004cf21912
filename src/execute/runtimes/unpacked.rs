//! The image's tree on the disk, for runtimes that take a directory: unpacked for one job by this worker from the SIF
//! that it measured, with what the runtime needs to mount on.
//!
//! Their own ways to get an image are not used: they pull by tag, or unpack archives without a look at a digest.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use super::foreign;
use super::runtime::Request;
use crate::backend;
use crate::execute::report::Report;
use crate::execute::rootfs::{self, Unpacked};
use crate::execute::scratch::{self, Scratch};
use crate::execute::{ExecuteError, gpu, packed, tickets};
use crate::job::{Access, EnvVar, JobSpec, Mount, Network, Terms, WORK_DIR};
use crate::oci::ContainerConfig;
use crate::runtime::builtin::Cover;
use crate::runtime::{Bind, environment};
use crate::sif::SifReader;

/// An image's tree, and what its configuration says of the program.
pub(super) struct Tree {
    pub(super) unpacked: Unpacked,
    /// The words to start.
    pub(super) command: Vec<String>,
    /// The program's variables.
    pub(super) env: BTreeMap<String, String>,
    /// Those of the driver of a graphics processor.
    libraries: Vec<Bind>,
    /// Where the tree is; goes with this.
    pub(super) scratch: Scratch,
}

impl Tree {
    /// Unpacks the image of a job.
    ///
    /// # Errors
    /// When the image is damaged or hostile, there is no room, or there is nothing to run.
    pub(super) fn of(request: &Request<'_>, report: &mut Report) -> Result<Self, ExecuteError> {
        let job = &request.plan.job;
        let measured = request.image.sif()?;
        let scratch = Scratch::make(scratch::JOB, true)?;
        report.notes.extend_from_slice(&scratch.notes);
        let sif_error = |source| ExecuteError::Sif { path: measured.path.clone(), source };
        let handle = measured.file.try_clone().map_err(ExecuteError::io("duplicating a handle"))?;
        let mut reader = SifReader::open(handle).map_err(sif_error)?;
        let partition = reader.partition().map_err(sif_error)?;
        let config = packed::configuration(&mut reader).map_err(sif_error)?;
        if config.is_none() {
            report.notes.push(
                "the SIF has no configuration of an image: scripts of its own are not run".into(),
            );
        }
        let config = config.unwrap_or_else(ContainerConfig::default);
        let command = environment::command(&config, job).ok_or(ExecuteError::NothingToRun)?;
        report.starts(&command);
        let unpacked = rootfs::unpack(measured, partition, &request.plan.limits, scratch.path())?;
        let shape: Vec<&str> =
            backend::engines().flat_map(|facts| facts.for_program).copied().collect();
        let host = |name: &str| std::env::var(name).ok();
        let mut env = environment::variables(&config, job, &shape, host);
        env.extend(tickets::variables(job));
        let mut libraries = Vec::new();
        if job.terms.gpu {
            let found = gpu::look()?;
            libraries = gpu::libraries(&found)?;
            report.conditions.gpu = Some(found.said);
        }
        if !libraries.is_empty() {
            environment::add_libraries(&mut env, gpu::PLACE);
        }
        Ok(Self { unpacked, command, env, libraries, scratch })
    }
}

/// What no runtime of these can give.
pub(super) fn lacks(terms: &Terms) -> Option<&'static str> {
    match terms.network {
        None | Some(Network::Host) => None,
        Some(_) => Some("it has no network but the machine's"),
    }
}

/// What a job has that they cannot give on this machine.
pub(super) fn cannot(job: &JobSpec) -> Option<String> {
    let broken = |variable: &&EnvVar| variable.value.contains(['\n', '\r']);
    if let Some(variable) = job.env.iter().find(broken) {
        return Some(format!("it takes no value of several lines, as that of {:?}", variable.name));
    }
    let asked = job.mounts.iter().filter(|mount| **mount != Mount::cvmfs());
    let mut writable = asked.filter(|mount| mount.access == Access::Ro).filter(|mount| {
        let source = Path::new(&mount.source);
        source.exists() && !is_fixed(source)
    });
    writable.next().map(|mount| format!("it has no read-only mounts, as {}", mount.target))
}

/// Whether what is at a path cannot be written to anyway.
fn is_fixed(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Refuses what runtimes without mounts and networks of their own cannot do: less than what was asked for is not given.
/// What is read-only for another reason stays so.
///
/// # Errors
/// What the container shows of the machine: the working directory, the job's mounts, empty directories over what is
/// hidden, and the tickets.
///
/// # Errors
/// When what is hidden cannot be covered.
pub(super) fn shown(
    request: &Request<'_>,
    tree: &Tree,
    scratch: &foreign::Scratch,
) -> Result<Vec<Bind>, ExecuteError> {
    let mut binds = vec![Bind {
        source: request.workdir.to_owned(),
        target: WORK_DIR.into(),
        access: Access::Rw,
        directory: true,
    }];
    binds.extend_from_slice(request.binds);
    binds.extend(foreign::covers(request, scratch, &[Path::new("/dev/shm")])?);
    binds.extend(tickets::binds(request.plan, request.control, scratch.path())?);
    binds.extend_from_slice(&tree.libraries);
    Ok(binds)
}

/// Names what it is.
pub(super) fn refuse(
    name: &'static str,
    request: &Request<'_>,
    report: &mut Report,
) -> Result<(), ExecuteError> {
    if !matches!(request.plan.job.terms.network, None | Some(Network::Host)) {
        return Err(ExecuteError::NotStarted(format!(
            "{name} has no network but the machine's; take --runtime builtin"
        )));
    }
    for bind in request.binds.iter().filter(|bind| bind.access == Access::Ro) {
        if is_fixed(&bind.source) {
            continue;
        }
        if !request.is_default(bind) {
            return Err(ExecuteError::Unspelled {
                path: bind.source.clone(),
                runtime: name,
                why: "it has no read-only mounts; take --runtime builtin".into(),
            });
        }
        let note = format!("{name} has no read-only mounts: {} is not", bind.target.display());
        report.notes.push(note);
    }
    // which of them lie over files of the image was not looked at: each could
    let covers: Vec<Cover> = request
        .asked()
        .map(|bind| Cover { target: bind.target.clone(), source: bind.source.clone() })
        .collect();
    report.covered_by(&covers);
    Ok(())
}

/// A path as text for a command line that splits `SOURCE:TARGET` at colons.
///
/// # Errors
/// When it cannot be said.
pub(super) fn spelled<'p>(name: &'static str, path: &'p Path) -> Result<&'p str, ExecuteError> {
    let no = |why: &str| {
        Err(ExecuteError::Unspelled { path: path.to_owned(), runtime: name, why: why.to_owned() })
    };
    match path.to_str() {
        None => no("it is not UTF-8"),
        Some(text) if text.contains(':') => no("it holds a colon, which ends a path there"),
        Some(text) => Ok(text),
    }
}

/// Refuses variables that do not fit on a line of the runtime's file of variables: on its command line every user of
/// the machine could read them.
///
/// # Errors
/// Names the variable, not its value.
pub(super) fn on_lines(
    name: &'static str,
    variables: &BTreeMap<String, String>,
) -> Result<(), ExecuteError> {
    let broken = |text: &str| text.contains(['\n', '\r']);
    match variables.iter().find(|(variable, value)| broken(variable) || broken(value)) {
        None => Ok(()),
        Some((variable, _)) => Err(ExecuteError::NotStarted(format!(
            "the value of {variable:?} has several lines, which {name} takes only on its command line, where every user \
             of the machine can read it; take --runtime builtin"
        ))),
    }
}

/// Refuses variables that udocker does not hand over as they are: it strips names and values, and leaves out a name that
/// holds a blank or begins with a digit (`utils/uenv.py` of 1.3.17).
///
/// # Errors
/// Names the variable, not its value.
pub(super) fn plain(
    name: &'static str,
    variables: &BTreeMap<String, String>,
) -> Result<(), ExecuteError> {
    // Python strips some control characters, too
    let odd = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    let stripped = |text: &str| text.starts_with(odd) || text.ends_with(odd);
    let lost = |name: &str| name.contains(odd) || name.starts_with(|c: char| c.is_ascii_digit());
    let found = variables.iter().find(|(name, value)| lost(name) || stripped(value));
    match found {
        None => Ok(()),
        Some((variable, _)) => Err(ExecuteError::NotStarted(format!(
            "{name} would drop or change the variable {variable:?}: it takes no name with a blank or with a digit in \
             front, and no value with blanks around it; take --runtime builtin"
        ))),
    }
}

/// Makes a mount point in a tree where the image has none. A link on the way is not followed: it could lead out of the tree.
///
/// # Errors
/// When something else is in the way.
pub(super) fn point(
    name: &'static str,
    root: &Path,
    target: &Path,
    directory: bool,
) -> Result<(), ExecuteError> {
    let no = |why: String| ExecuteError::Unspelled { path: target.to_owned(), runtime: name, why };
    let mut parts = Vec::new();
    for part in target.components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::RootDir => {}
            _ => return Err(no("it is not a plain path".into())),
        }
    }
    let mut path: PathBuf = root.to_owned();
    for (number, part) in parts.iter().enumerate() {
        path.push(part);
        let file = !directory && number + 1 == parts.len();
        let made = match path.symlink_metadata() {
            Ok(meta) if meta.is_symlink() => return Err(no("the image has a link there".into())),
            Ok(meta) if meta.is_dir() != file => Ok(()),
            Ok(_) => return Err(no("the image has something else there".into())),
            Err(error) if error.kind() == ErrorKind::NotFound && file => {
                fs::File::create_new(&path).map(drop)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir(&path),
            Err(error) => Err(error),
        };
        made.map_err(ExecuteError::io(format!("making {}", path.display())))?;
    }
    Ok(())
}

/// The mount points of binds that no other bind brings.
///
/// # Errors
/// As [`point`].
pub(super) fn points(name: &'static str, root: &Path, binds: &[Bind]) -> Result<(), ExecuteError> {
    for bind in binds {
        let inside = |other: &Bind| other.directory && bind.target.starts_with(&other.target);
        if !binds.iter().any(|other| other.target != bind.target && inside(other)) {
            point(name, root, &bind.target, bind.directory)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::builtin::testing::{bind, job};

    #[test]
    fn mount_points_are_made_in_the_tree_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir_all(root.join("there")).unwrap();
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        let make = |target: &str, directory| point("x", &root, Path::new(target), directory);
        make("/there/a/b", true).unwrap();
        make("/there/a/b", true).unwrap();
        make("/new/file", false).unwrap();
        assert!(root.join("there/a/b").is_dir() && root.join("new/file").is_file());
        for (bad, directory) in [
            ("/link", true),
            ("/link/x", true),
            ("/new/file/x", true),
            ("/there", false),
            ("/../x", true),
        ] {
            let error = make(bad, directory).unwrap_err();
            assert!(matches!(error, ExecuteError::Unspelled { .. }), "{bad}: {error}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);

        let binds = [bind("/h", "/data", Access::Rw), bind("/h/i", "/data/inner", Access::Rw)];
        points("x", &root, &binds).unwrap();
        assert!(root.join("data").is_dir() && !root.join("data/inner").exists());
    }

    #[test]
    fn a_value_of_several_lines_is_on_no_command_line() {
        let all = |name: &str, value: &str| BTreeMap::from([(name.into(), value.into())]);
        on_lines("x", &all("A", "it's \"so\" $x")).unwrap();
        for (name, value) in [("A", "a\nsecret"), ("A", "a\rsecret"), ("A\nB", "secret")] {
            let error = on_lines("x", &all(name, value)).unwrap_err().to_string();
            assert!(error.contains("--runtime builtin") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_udocker_would_change_is_refused() {
        let all = |name: &str, value: &str| BTreeMap::from([(name.into(), value.into())]);
        for (name, value) in [("A", "b  c"), ("a.b-c", ""), ("_1", "\"x\""), ("\u{dc}", "\u{e9}")] {
            plain("x", &all(name, value)).unwrap();
        }
        for (name, value) in [
            ("1A", "secret"),
            ("A B", "secret"),
            (" A", "secret"),
            ("A", " secret"),
            ("A", "secret\t"),
            ("A", "secret\u{a0}"),
            ("A", "secret\u{1e}"),
        ] {
            let error = plain("x", &all(name, value)).unwrap_err().to_string();
            assert!(error.contains("--runtime builtin") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_they_lack_is_known_before() {
        let mut job = job(&["x"]);
        assert_eq!((lacks(&job.terms), cannot(&job)), (None, None));
        job.terms.network = Some(Network::None);
        assert!(lacks(&job.terms).unwrap().contains("network"));
        job.env.push("A=a\nsecret".parse().unwrap());
        let why = cannot(&job).unwrap();
        assert!(why.contains("\"A\"") && !why.contains("secret"), "{why}");
        job.env.clear();
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().to_str().unwrap();
        job.mounts.push(format!("{source}:/data:ro").parse().unwrap());
        assert!(cannot(&job).unwrap().contains("/data"));
        job.mounts = vec![Mount::cvmfs(), format!("{source}:/data").parse().unwrap()];
        assert_eq!(cannot(&job), None);
    }

    #[test]
    fn a_path_with_a_colon_cannot_be_said() {
        assert_eq!(spelled("x", Path::new("/a b,c\nö")).unwrap(), "/a b,c\nö");
        let error = spelled("x", Path::new("/a:b")).unwrap_err().to_string();
        assert!(error.contains("x cannot mount /a:b") && error.contains("colon"), "{error}");
    }
}
