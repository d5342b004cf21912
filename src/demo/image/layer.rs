//! Entries as a layer: a tar of fixed order, owner and times, and its gzip.
//!
//! Source: OCI image specification 1.1, `layer.md`; POSIX ustar with GNU long names.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use super::DemoImageError;
use super::blob::{Blob, CREATED_SECONDS};
use super::tree::Node;
use crate::oci::{Descriptor, DiffId, Digest, Sha256Digest, media_type};

/// The link name field of a ustar header.
const LINK_FIELD: usize = 100;

/// Packs entries, which are in the order of the tar. The same entries give the same bytes.
pub(super) fn pack<'a>(
    entries: impl IntoIterator<Item = (&'a Path, &'a Node)>,
) -> Result<(Blob, DiffId), DemoImageError> {
    let tar = tar(entries).map_err(DemoImageError::Write)?;
    let bytes = gzip(&tar).map_err(DemoImageError::Write)?;
    let descriptor = Descriptor {
        media_type: media_type::OCI_LAYER_GZIP.into(),
        digest: Digest::of(&bytes),
        size: bytes.len() as u64,
        annotations: std::collections::BTreeMap::default(),
    };
    Ok((Blob { bytes, descriptor }, DiffId::of(&tar)))
}

fn tar<'a>(entries: impl IntoIterator<Item = (&'a Path, &'a Node)>) -> std::io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for (path, node) in entries {
        // the root has no name in a tar
        let Some(name) = path.strip_prefix("/").ok().filter(|name| *name != Path::new("")) else {
            continue;
        };
        let mut header = Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(CREATED_SECONDS);
        header.set_size(0);
        match node {
            Node::Directory { mode } => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(*mode);
                tar.append_data(&mut header, name.join(""), std::io::empty())?;
            }
            Node::File { mode, bytes } => {
                header.set_entry_type(EntryType::Regular);
                header.set_mode(*mode);
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, name, bytes.as_slice())?;
            }
            Node::Link { target } => {
                header.set_entry_type(EntryType::Symlink);
                header.set_mode(0o777);
                link(&mut tar, &mut header, name, target)?;
            }
            Node::HardLink { file } => {
                header.set_entry_type(EntryType::Link);
                header.set_mode(0o755);
                link(&mut tar, &mut header, name, file.strip_prefix("/").unwrap_or(file))?;
            }
        }
    }
    tar.into_inner()
}

/// Writes a link's target as it is: the crate's own way tidies paths.
fn link(
    tar: &mut Builder<Vec<u8>>,
    header: &mut Header,
    name: &Path,
    target: &Path,
) -> std::io::Result<()> {
    if target.as_os_str().as_bytes().len() <= LINK_FIELD {
        header.set_link_name_literal(target.as_os_str().as_bytes())?;
        tar.append_data(header, name, std::io::empty())
    } else {
        tar.append_link(header, name, target)
    }
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    // 255: no operating system; the default is the one that this program was built for
    let mut gzip =
        GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::default());
    gzip.write_all(bytes)?;
    gzip.finish()
}
