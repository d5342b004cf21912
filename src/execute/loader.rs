//! **Not isolated**: runs an image's program on the machine itself, through the image's own loader.
//!
//! For the demo only, on machines where no container can be made, so that its other steps can be
//! shown. The program sees the whole machine and runs with the caller's rights; what it opens by an
//! absolute path is the machine's, not the image's. Its evidence is [`crate::job::Grade::None`] and
//! its verdict is never *Match*. No verb that runs users' jobs calls this: `submit` and `run`
//! exit with 9 instead.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::private::PrivateDir;
use super::{ExecuteError, measure, rootfs};
use crate::elf;
use crate::oci::SifDigest;
use crate::sif::SifReader;
use crate::store::temporary_directory;

/// Unpacks the SIF below `cache` for this once, and starts `command` (its first word an absolute path in the image)
/// in `workdir` through the program's own ELF interpreter. Its output goes to the two files. Returns
/// the exit code as a shell gives it.
///
/// # Errors
/// When the image or the program cannot be used this way.
pub fn run_through_own_loader(
    sif: &Path,
    expected: SifDigest,
    cache: &Path,
    command: &[String],
    workdir: &Path,
    (stdout, stderr): (File, File),
) -> Result<i32, ExecuteError> {
    use std::os::unix::process::ExitStatusExt;
    let measured = measure::measure(sif, expected)?;
    let handle = measured.file.try_clone().map_err(ExecuteError::io("duplicating a handle"))?;
    let sif_error = |source| ExecuteError::Sif { path: sif.to_owned(), source };
    let partition = SifReader::open(handle).and_then(|r| r.partition()).map_err(sif_error)?;
    let dir = temporary_directory(cache)
        .map(PrivateDir)
        .map_err(ExecuteError::io(format!("making a directory in {}", cache.display())))?;
    let tree = rootfs::unpack(&measured, partition, &BTreeMap::new(), dir.path())?;
    let root = tree.root;
    let (program, arguments) = command.split_first().ok_or(ExecuteError::NothingToRun)?;
    let program = in_image(&root, Path::new(program))?;
    let mut started = match shell_of(&program)? {
        Some(shell) => {
            let mut started = through_loader(&root, &in_image(&root, &shell)?)?;
            started.arg(&program);
            started
        }
        None => through_loader(&root, &program)?,
    };
    let status = started
        .args(arguments)
        .current_dir(workdir)
        .env_clear()
        .env("PATH", format!("{0}/usr/bin:{0}/bin", root.display()))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .status()
        .map_err(|e| ExecuteError::NotStarted(format!("{}: {e}", program.display())))?;
    Ok(status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(1))
}

fn through_loader(root: &Path, program: &Path) -> Result<Command, ExecuteError> {
    let Some(loader) = interpreter(program)? else { return Ok(Command::new(program)) };
    let mut started = Command::new(in_image(root, &loader)?);
    started.arg("--library-path").arg(library_path(root)).arg(program);
    Ok(started)
}

/// The interpreter of a script's first line (execve(2)), without its argument.
fn shell_of(program: &Path) -> Result<Option<PathBuf>, ExecuteError> {
    let mut start = Vec::new();
    File::open(program)
        .and_then(|file| file.take(256).read_to_end(&mut start))
        .map_err(|e| ExecuteError::NotStarted(format!("{}: {e}", program.display())))?;
    let line = start.strip_prefix(b"#!").and_then(|rest| rest.split(|b| *b == b'\n').next());
    let word =
        line.and_then(|line| line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty()));
    Ok(word.map(|word| PathBuf::from(OsStr::from_bytes(word))))
}

/// Where the image's directories for shared libraries are.
fn library_path(root: &Path) -> OsString {
    let machine = std::env::consts::ARCH;
    ["lib", "lib64", "usr/lib", "usr/lib64"]
        .iter()
        .flat_map(|d| [format!("{d}/{machine}-linux-gnu"), (*d).to_owned()])
        .map(|d| root.join(d).into_os_string())
        .collect::<Vec<_>>()
        .join(OsStr::new(":"))
}

/// A path of the image, its symbolic links followed inside the image.
fn in_image(root: &Path, path: &Path) -> Result<PathBuf, ExecuteError> {
    let tree = super::tree::Tree(root.to_owned());
    let path = crate::runtime::builtin::resolve(&tree, path)?;
    Ok(root.join(path.strip_prefix("/").unwrap_or(&path)))
}

/// The program interpreter that a program asks for; `None` for a static one.
fn interpreter(program: &Path) -> Result<Option<PathBuf>, ExecuteError> {
    let refuse = |why: String| ExecuteError::NotStarted(format!("{}: {why}", program.display()));
    let mut bytes = Vec::new();
    File::open(program)
        .and_then(|f| f.take(1 << 20).read_to_end(&mut bytes))
        .map_err(|e| refuse(e.to_string()))?;
    elf::interpreter(&bytes).map_err(|e| refuse(e.to_string()))
}
