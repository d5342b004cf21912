//! Whether apptainer or singularity can start anything inside another container: asked by doing it.
//!
//! An image with nothing in it goes the whole way to its program. There is none, and the message that it is not there says
//! that the container was. Without `/dev/fuse`, or without the right to make user namespaces, the message is another one.
//! By itself such a failure could not be told from a program that ended with 255.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;

use crate::execute::ExecuteError;
use crate::execute::confined::Confined;
use crate::execute::form::Form;
use crate::execute::identify::{Asked, answer};
use crate::execute::scratch::{self, Scratch};
use crate::oci::Platform;
use crate::sif::{Arch, Identity, SifWriter};

/// The program that no image has.
const NOBODYS: &str = "/.moorline-trial";

/// A squashfs of an empty directory: `mksquashfs DIR FILE -all-root -all-time 0 -mkfs-time 0 -no-xattrs -no-exports
/// -nopad -noI -noId -noD -noF`.
const EMPTY: &[u8] = b"\
    \x68\x73\x71\x73\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x01\x00\x11\x00\
    \x4b\x02\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x90\x00\x00\x00\x00\x00\x00\x00\
    \x88\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x60\x00\x00\x00\x00\x00\x00\x00\
    \x82\x00\x00\x00\x00\x00\x00\x00\x82\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\
    \x20\x80\x01\x00\xed\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\
    \x00\x00\x03\x00\x00\x00\x02\x00\x00\x00\x04\x80\x00\x00\x00\x00\x82\x00\x00\x00\x00\x00\x00\x00";
/// Loop devices want whole pages.
const PAGE: usize = 4096;

/// Tries it where this worker is confined; elsewhere its version was answer enough.
///
/// # Errors
/// [`ExecuteError::NoRuntime`] with its own words.
pub(super) fn starts(program: &Path, form: Form) -> Result<(), ExecuteError> {
    if !Confined::own().at_all() {
        return Ok(());
    }
    let scratch = Scratch::make(scratch::PROBE, false)?;
    let at = |name: &str| scratch.path().join(name);
    let image = at(if form == Form::Directory { "root" } else { "empty.sif" });
    let io = |e| ExecuteError::io(format!("making {}", image.display()))(e);
    if form == Form::Directory {
        fs::create_dir(&image).map_err(io)?;
    } else {
        empty(&image)?;
    }
    let Some(name) = image.to_str() else { return Ok(()) };
    let home = scratch.path().as_os_str();
    let env: Vec<(&str, &OsStr)> = [
        "HOME",
        "XDG_RUNTIME_DIR",
        "APPTAINER_CACHEDIR",
        "APPTAINER_CONFIGDIR",
        "APPTAINER_TMPDIR",
        "SINGULARITY_CACHEDIR",
        "SINGULARITY_CONFIGDIR",
        "SINGULARITY_TMPDIR",
    ]
    .map(|variable| (variable, home))
    .into();
    let words = ["-q", "exec", "--no-home", "--pwd", "/", name, NOBODYS];
    let answered = answer(program, &Asked { words: &words, env: &env, on_stderr: true })?;
    match answered.complaint() {
        Some(why) if why.contains(NOBODYS) => Ok(()),
        why => Err(ExecuteError::NoRuntime(format!(
            "it starts nothing in the container around this worker: {}",
            why.unwrap_or_else(|| format!("it ended with {}", answered.status))
        ))),
    }
}

/// Writes a SIF with nothing in it for this machine.
fn empty(path: &Path) -> Result<(), ExecuteError> {
    let io = |e| ExecuteError::io(format!("writing {}", path.display()))(e);
    let failed = |source| ExecuteError::Sif { path: path.to_owned(), source };
    let arch = Arch::of(&Platform::host()).map_err(failed)?;
    let mut file = fs::File::create_new(path).map_err(io)?;
    let identity = Identity { uuid: [0; 16], time: 0, arch };
    let mut sif = SifWriter::begin(&mut file, identity).map_err(failed)?;
    sif.partition().map_err(failed)?;
    let mut partition = EMPTY.to_vec();
    partition.resize(PAGE, 0);
    sif.inner().write_all(&partition).map_err(io)?;
    sif.finish(PAGE as u64).map(drop).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sif::SifReader;
    use crate::squashfs::read::{Image, Kind, Limits};

    #[test]
    fn the_trial_is_an_image_with_nothing_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty.sif");
        empty(&path).unwrap();
        let file = fs::File::open(&path).unwrap();
        let partition = SifReader::open(&file).unwrap().partition().unwrap();
        let limits = Limits::default();
        let image = Image::open(&file, partition.offset, partition.size, limits).unwrap();
        let Kind::Directory(listing) = image.inode(image.root()).unwrap().kind else { panic!() };
        assert!(image.list(listing).unwrap().is_empty());
    }
}
