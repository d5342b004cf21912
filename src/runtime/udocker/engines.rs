//! The engines: programs and libraries that udocker starts containers with, which it would download itself.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::UdockerError;
use super::members::{Bounds, Names, Parts, What, members, put};
use super::package::version;
use crate::tree::show;

/// Larger archives are refused; that of 1.2.11 has some ten million bytes.
pub const MOST_ENGINES_BYTES: u64 = 512 << 20;
/// How the library's names begin that the F modes need.
pub const FAKECHROOT: &str = "libfakechroot";

const BOUNDS: Bounds = Bounds { members: 20_000, bytes: 2 << 30 };
const WHAT: &str = "archive of udocker's engines";
const TOP: &str = "udocker_dir";
const BIN: &str = "bin";
const LIB: &str = "lib";
const VERSION: &str = "VERSION";
/// Names in it, at most: a program or library for each system that it is for.
const MOST_NAMES: usize = 2000;

/// An archive that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engines {
    /// By its own word.
    pub version: String,
    /// The names of its programs, and of the libraries that the F modes need.
    pub brings: Vec<String>,
}

impl Engines {
    /// Looks at a file.
    ///
    /// # Errors
    /// When it is no archive of udocker's engines, or one that cannot be unpacked.
    pub fn read(file: &mut File) -> Result<Self, UdockerError> {
        walk(file, &mut |_, _, _| Ok(()))
    }

    /// Unpacks it as udocker's own `install` leaves it: `to/bin` and `to/lib`. Nobody else has these directories, and
    /// nothing is in them.
    ///
    /// # Errors
    /// As [`Engines::read`], and when a file cannot be written.
    pub fn unpack(file: &mut File, to: &Path) -> Result<Self, UdockerError> {
        walk(file, &mut |folder, name, what| {
            let path = [folder, name];
            match what {
                What::File(bytes) => {
                    put(to, &path, bytes, if folder == BIN { 0o700 } else { 0o600 })
                }
                What::Link(target) => Ok(symlink(target, to.join(folder).join(name))?),
            }
        })
    }
}

/// The folder and the name of a program or library.
fn placed<'p>(path: &Parts<'p>) -> Option<(&'p str, &'p str)> {
    match path {
        [TOP, folder @ (BIN | LIB), name] => Some((folder, name)),
        _ => None,
    }
}

fn walk(
    file: &mut File,
    see: &mut dyn FnMut(&str, &str, &What) -> Result<(), UdockerError>,
) -> Result<Engines, UdockerError> {
    let (mut said, mut brings, mut names) = (None, BTreeSet::new(), Names::default());
    members(file, WHAT, BOUNDS, &|path| placed(path).is_some(), &mut |path, what| {
        let Some((folder, name)) = placed(path) else { return Ok(()) };
        names.note(&[folder, name])?;
        match &what {
            What::Link(target)
                if target.contains(['/', '\0']) || [".", "..", ""].contains(&&**target) =>
            {
                let (name, target) = (show(name.as_bytes()), show(target.as_bytes()));
                let why = format!("the link {name} leads to {target}, out of its directory");
                return Err(UdockerError::Malformed(why));
            }
            What::File(bytes) if (folder, name) == (LIB, VERSION) => {
                said = std::str::from_utf8(bytes).ok().and_then(|text| version(text.trim()));
            }
            _ => {}
        }
        if folder == BIN || name.starts_with(FAKECHROOT) {
            brings.insert(name.to_owned());
        }
        if brings.len() > MOST_NAMES {
            let why = format!("it has more than {MOST_NAMES} programs and libraries");
            return Err(UdockerError::Malformed(why));
        }
        see(folder, name, &what)
    })?;
    let other = |why: &str| UdockerError::Other { what: WHAT, why: why.to_owned() };
    let version = said.ok_or_else(|| other("it has no udocker_dir/lib/VERSION with a version"))?;
    if brings.is_empty() {
        return Err(other("nothing is in its udocker_dir/bin"));
    }
    Ok(Engines { version, brings: brings.into_iter().collect() })
}
