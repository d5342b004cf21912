//! What is in a foreign archive: a tar with gzip, or a zip. Its first bytes say which.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use zip::ZipArchive;

use super::UdockerError;
use crate::layer::{Limits, MemberKind, TarReader};
use crate::tree::show;

/// How much may be in an archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Members.
    pub(super) members: u64,
    /// Bytes of it without compression.
    pub(super) bytes: u64,
}

impl Bounds {
    fn check(self, members: u64) -> Result<(), UdockerError> {
        if members > self.members {
            let why = format!("it has more than {} members", self.members);
            return Err(UdockerError::Malformed(why));
        }
        Ok(())
    }
}

/// The names that were seen: none stands twice.
#[derive(Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// Notes a name.
    ///
    /// # Errors
    /// When it was seen before.
    pub(super) fn note(&mut self, path: &Parts<'_>) -> Result<(), UdockerError> {
        let name = path.join("/");
        let shown = show(name.as_bytes());
        let twice = || UdockerError::Malformed(format!("{shown} stands in it twice"));
        self.0.insert(name).then_some(()).ok_or_else(twice)
    }
}

/// Something in an archive.
pub(super) enum What {
    /// Its bytes.
    File(Vec<u8>),
    /// Its target.
    Link(String),
}

/// The parts of a member's path.
pub(super) type Parts<'a> = [&'a str];

/// Shows every file and link whose path is wanted.
///
/// # Errors
/// When the archive is no archive, damaged, passes a bound, or has a name that leads out of it.
pub(super) fn members(
    file: &mut File,
    what: &'static str,
    bounds: Bounds,
    wanted: &dyn Fn(&Parts<'_>) -> bool,
    see: &mut dyn FnMut(&Parts<'_>, What) -> Result<(), UdockerError>,
) -> Result<(), UdockerError> {
    file.rewind()?;
    let mut start = Vec::new();
    Read::by_ref(file).take(4).read_to_end(&mut start)?;
    file.rewind()?;
    match start.as_slice() {
        [0x1F, 0x8B, ..] => of_tar(file, bounds, wanted, see),
        [b'P', b'K', 3, 4] => of_zip(file, bounds, wanted, see),
        _ => {
            let why = "it begins neither as a .tar.gz nor as a wheel".to_owned();
            Err(UdockerError::Other { what, why })
        }
    }
}

fn of_tar(
    file: &mut File,
    bounds: Bounds,
    wanted: &dyn Fn(&Parts<'_>) -> bool,
    see: &mut dyn FnMut(&Parts<'_>, What) -> Result<(), UdockerError>,
) -> Result<(), UdockerError> {
    let limits = Limits { entries: bounds.members, ..Limits::default() };
    let inflated = Budget { from: MultiGzDecoder::new(BufReader::new(file)), left: bounds.bytes };
    // holes are no bytes of the tar
    let mut tar = TarReader::new(BufReader::new(inflated), limits).of_blob(0);
    let mut count = 0;
    while let Some(entry) = tar.next_entry().map_err(UdockerError::malformed)? {
        count += 1;
        bounds.check(count)?;
        let name = utf8(&entry.path)?;
        let path = parts(&name)?;
        if !wanted(&path) {
            continue;
        }
        let found = match entry.kind {
            MemberKind::Directory => continue,
            MemberKind::Symlink(target) => What::Link(utf8(&target)?),
            MemberKind::File if entry.size <= bounds.bytes => {
                let mut bytes = Vec::new();
                let size = usize::try_from(entry.size).map_err(UdockerError::malformed)?;
                // not at once: the archive may end before
                while bytes.len() < size {
                    let count = (size - bytes.len()).min(1 << 20);
                    tar.take(count, &mut bytes).map_err(UdockerError::malformed)?;
                }
                What::File(bytes)
            }
            MemberKind::File => return Err(UdockerError::malformed(too_large(bounds.bytes))),
            _ => return Err(unusual(&name)),
        };
        see(&path, found)?;
    }
    // to the end, for its checksum
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(UdockerError::malformed)?;
    Ok(())
}

fn of_zip(
    file: &mut File,
    bounds: Bounds,
    wanted: &dyn Fn(&Parts<'_>) -> bool,
    see: &mut dyn FnMut(&Parts<'_>, What) -> Result<(), UdockerError>,
) -> Result<(), UdockerError> {
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(UdockerError::malformed)?;
    bounds.check(zip.len() as u64)?;
    let mut left = bounds.bytes;
    for number in 0..zip.len() {
        let member = zip.by_index(number).map_err(UdockerError::malformed)?;
        let name = utf8(member.name_raw())?;
        let path = parts(&name)?;
        if !wanted(&path) || member.is_dir() {
            continue;
        }
        if !member.is_file() {
            return Err(unusual(&name));
        }
        let mut bytes = Vec::new();
        let mut budget = Budget { from: member, left };
        budget.read_to_end(&mut bytes).map_err(UdockerError::malformed)?;
        left = budget.left;
        see(&path, What::File(bytes))?;
    }
    Ok(())
}

/// Reads so many bytes and no more.
struct Budget<R> {
    from: R,
    left: u64,
}

impl<R: Read> Read for Budget<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("it becomes larger than anything of its kind"))?;
        Ok(count)
    }
}

fn too_large(bytes: u64) -> String {
    format!("a file in it is larger than {bytes} bytes")
}

fn unusual(name: &str) -> UdockerError {
    let name = show(name.as_bytes());
    UdockerError::Malformed(format!("{name} is neither a file nor a directory"))
}

fn utf8(bytes: &[u8]) -> Result<String, UdockerError> {
    let no = |_| UdockerError::Malformed(format!("the name {} is no UTF-8", show(bytes)));
    String::from_utf8(bytes.to_vec()).map_err(no)
}

/// The parts of a path that stays inside; `./` in front and `/` behind mean nothing.
fn parts(name: &str) -> Result<Vec<&str>, UdockerError> {
    let no = || UdockerError::Malformed(format!("{} leads out of it", show(name.as_bytes())));
    if name.starts_with('/') || name.contains(['\\', '\0']) {
        return Err(no());
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") { Err(no()) } else { Ok(parts) }
}

/// Writes a new file below a directory that nobody else has, with the directories above it.
pub(super) fn put(
    to: &Path,
    path: &Parts<'_>,
    bytes: &[u8],
    mode: u32,
) -> Result<(), UdockerError> {
    let target = to.join(path.join("/"));
    if let Some(folder) = target.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(target)?;
    file.write_all(bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        assert_eq!(parts("./a//b/").unwrap(), ["a", "b"]);
        for bad in ["/etc/passwd", "../a", "a/../../b", "a/..", "a\\..\\b", "a\0b"] {
            assert!(parts(bad).is_err(), "{bad:?}");
        }
    }
}
