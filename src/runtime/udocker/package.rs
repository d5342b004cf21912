//! The package: udocker's Python files, out of a wheel or an archive of its source.

use std::fs::File;
use std::path::Path;

use super::UdockerError;
use super::members::{Bounds, Names, Parts, What, members, put};

/// Larger packages are refused; 1.3.17 has 300,000 bytes.
pub const MOST_PACKAGE_BYTES: u64 = 32 << 20;

const BOUNDS: Bounds = Bounds { members: 10_000, bytes: 64 << 20 };
const WHAT: &str = "package of udocker";
/// The folder of its modules.
const FOLDER: &str = "udocker";
/// What says the version.
const INIT: &str = "__init__.py";
/// What is started.
const MAIN: &str = "maincmd.py";

/// A package that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// By its own word.
    pub version: String,
}

impl Package {
    /// Looks at a file.
    ///
    /// # Errors
    /// When it is no package of udocker, or one that cannot be unpacked.
    pub fn read(file: &mut File) -> Result<Self, UdockerError> {
        walk(file, &mut |_, _| Ok(()))
    }

    /// Unpacks it: `to/udocker/`. The directory is new and nobody else's.
    ///
    /// # Errors
    /// As [`Package::read`], and when a file cannot be written.
    pub fn unpack(file: &mut File, to: &Path) -> Result<Self, UdockerError> {
        walk(file, &mut |path, bytes| {
            let path: Vec<&str> = [FOLDER].into_iter().chain(path.iter().copied()).collect();
            put(to, &path, bytes, 0o600)
        })
    }
}

/// What is shown each module: its path below the folder, and its bytes.
type See<'a> = &'a mut dyn FnMut(&Parts<'_>, &[u8]) -> Result<(), UdockerError>;

/// The path below the folder of the modules. An archive of the source has a directory around it.
fn module<'p>(path: &'p Parts<'p>) -> Option<&'p Parts<'p>> {
    match path {
        [FOLDER, rest @ ..] if !rest.is_empty() => Some(rest),
        [top, FOLDER, rest @ ..] if top.starts_with("udocker-") && !rest.is_empty() => Some(rest),
        _ => None,
    }
}

fn walk(file: &mut File, see: See<'_>) -> Result<Package, UdockerError> {
    let (mut version, mut main, mut names) = (None, false, Names::default());
    members(file, WHAT, BOUNDS, &|path| module(path).is_some(), &mut |path, what| {
        // a link in it is only another name for what is started
        let (Some(path), What::File(bytes)) = (module(path), what) else { return Ok(()) };
        names.note(path)?;
        match path {
            [INIT] => version = said(&bytes),
            [MAIN] => main = true,
            _ => {}
        }
        see(path, &bytes)
    })?;
    let missing = |name: &str| {
        let why = format!("it has no {FOLDER}/{name}, as versions since 1.3 have");
        UdockerError::Other { what: WHAT, why }
    };
    if !main {
        return Err(missing(MAIN));
    }
    version.map(|version| Package { version }).ok_or_else(|| missing("__init__.py with a version"))
}

/// `__version__ = "1.3.17"`.
fn said(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("__version__"))?;
    version(value.trim_start().strip_prefix('=')?.trim().trim_matches(['"', '\'']))
}

/// A version that can be shown and compared.
pub(super) fn version(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".+-_".contains(c);
    let good = text.starts_with(|c: char| c.is_ascii_digit()) && text.len() <= 32;
    (good && text.chars().all(plain)).then(|| text.to_owned())
}
