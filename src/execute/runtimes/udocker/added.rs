//! A udocker that came with the job: its files are compared with the plan, and unpacked into the job's own directories.
//!
//! ```text
//! SCRATCH/brought/udocker/...        the package       SCRATCH/brought/{start.py,udocker}    what is started
//! SCRATCH/repo/{bin,lib}/...         the engines, as udocker's own `install` leaves them
//! ```
//!
//! What is unpacked is a copy that nobody else has, and this copy is what was hashed.

use std::fs::{self, File};
use std::io::{self, Seek};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::execute::identify::{Asked, Program};
use crate::execute::{ExecuteError, find_program};
use crate::files::{self, ForeignFile};
use crate::job::{AddedFile, StagedRuntime};
use crate::oci::{Digest, Sha256Digest};
use crate::runtime::udocker::{
    Engines, MOST_ENGINES_BYTES, MOST_PACKAGE_BYTES, Package, UdockerError,
};
use crate::worker::RuntimeProgram;

/// How a udocker is asked what it is.
pub(super) const ASKED: &[&str] = &["--allow-root", "--version"];
/// What runs it.
const PYTHON: &str = "python3";

/// One that is ready to be started.
pub(super) struct Brought {
    /// What is started.
    pub(super) program: Program,
    /// As receipts say it: the file that came, and its digest.
    pub(super) said: RuntimeProgram,
    /// A sentence on where it came from.
    pub(super) note: String,
}

/// Python, which runs it.
///
/// # Errors
/// [`ExecuteError::NoRuntime`].
pub(super) fn python() -> Result<PathBuf, ExecuteError> {
    find_program(PYTHON).ok_or_else(|| {
        ExecuteError::NoRuntime(format!(
            "{PYTHON} is not installed, which runs the one that came with the job"
        ))
    })
}

/// Unpacks it below `scratch`, its engines into `repository`.
///
/// # Errors
/// When a file is not there or not the one that was submitted, and when it does not run.
pub(super) fn unpack(
    staged: &StagedRuntime,
    control: &Path,
    (scratch, repository): (&Path, &Path),
) -> Result<Brought, ExecuteError> {
    let home = scratch.join("brought");
    let made = fs::DirBuilder::new().mode(0o700).create(&home);
    made.map_err(ExecuteError::io(format!("making {}", home.display())))?;
    let package = &staged.runtime.package;
    let place = staged.place(package, control);
    let unpacked = |place: &Path| {
        let place = place.display().to_string();
        move |error: UdockerError| match error {
            UdockerError::Io(source) => ExecuteError::io(format!("unpacking {place}"))(source),
            why => ExecuteError::NotStarted(format!("{place}: {why}")),
        }
    };
    let mut copy = own_copy(&place, package, &home, MOST_PACKAGE_BYTES)?;
    Package::unpack(&mut copy, &home).map_err(unpacked(&place))?;
    let mut note = format!(
        "udocker {} came with the job: {} ({})",
        staged.runtime.version, package.name, package.sha256
    );
    if let Some(engines) = &staged.runtime.engines {
        let place = staged.place(&engines.file, control);
        let mut copy = own_copy(&place, &engines.file, &home, MOST_ENGINES_BYTES)?;
        Engines::unpack(&mut copy, repository).map_err(unpacked(&place))?;
        let (version, file) = (&engines.version, &engines.file);
        note.push_str(&format!("; engines {version}: {} ({})", file.name, file.sha256));
    }
    let program = start(&home, repository)?;
    let said = RuntimeProgram {
        path: place.to_string_lossy().into_owned(),
        sha256: Some(package.sha256),
        ..program.said()
    };
    Ok(Brought { program, said, note })
}

/// A copy without a name in a directory of the job's own, which was hashed.
fn own_copy(place: &Path, file: &AddedFile, home: &Path, most: u64) -> Result<File, ExecuteError> {
    let unread = |error: io::Error| {
        let name = &file.name;
        let text = format!(
            "{name}, which the job came with, cannot be read: {}: {error}",
            place.display()
        );
        ExecuteError::NotStarted(text)
    };
    let opened = ForeignFile::own_or_roots(most).open(place);
    let mut from = opened.map_err(|error| unread(error.into()))?.into_file();
    let copying = || ExecuteError::io(format!("copying {}", place.display()));
    let mut copy = tempfile::tempfile_in(home).map_err(copying())?;
    io::copy(&mut from, &mut copy).map_err(copying())?;
    copy.rewind().map_err(copying())?;
    let sum = files::sha256(&mut copy).map_err(copying())?;
    let found = Digest::from_bytes(sum.sha256);
    if found != file.sha256 {
        let (path, expected) = (place.to_owned(), file.sha256);
        return Err(ExecuteError::Input { path, found, expected });
    }
    Ok(copy)
}

/// What starts it: Python, without anything of the machine's own modules and settings.
fn start(home: &Path, repository: &Path) -> Result<Program, ExecuteError> {
    let io = || ExecuteError::io(format!("writing into {}", home.display()));
    let script = home.join("start.py");
    let text = "import os, sys\nsys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))\n\
                from udocker.maincmd import main\nsys.exit(main())\n";
    fs::write(&script, text).map_err(io())?;
    let quoted = |path: &Path| {
        let text = path.to_str().and_then(|text| shlex::try_quote(text).ok().map(String::from));
        text.ok_or_else(|| {
            ExecuteError::NotStarted(format!("{} cannot stand in a script", path.display()))
        })
    };
    let (python, start) = (quoted(&python()?)?, quoted(&script)?);
    let program = home.join("udocker-start");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o700).open(&program).map_err(io())?;
    // without bytecode: what runs is what was hashed
    let text = format!("#!/bin/sh\nexec {python} -I -B {start} \"$@\"\n");
    io::Write::write_all(&mut file, text.as_bytes()).map_err(io())?;
    file.set_permissions(fs::Permissions::from_mode(0o700)).map_err(io())?;
    drop(file);
    let env = [
        ("UDOCKER_DIR", repository.as_os_str()),
        ("HOME", home.as_os_str()),
        ("UDOCKER_TARBALL", "".as_ref()),
    ];
    Program::asked(&program, &Asked { words: ASKED, env: &env, on_stderr: false })
}
