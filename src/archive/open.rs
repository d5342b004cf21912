//! Opens an archive, whatever its form.

use super::members::Members;
use super::{
    Archive, ArchiveError, Files, Form, Location, Piece, blob_name, docker, layout, regular,
};
use crate::oci::{Descriptor, Platform};

impl Archive {
    /// Opens an archive and finds the image for a platform in it.
    ///
    /// # Errors
    /// When it cannot be read, is malformed, has no such image, or several and none was named.
    pub fn open(location: &Location, platform: &Platform) -> Result<Self, ArchiveError> {
        let mut archive = match location.form {
            Form::Oci => layout::open(Files::Directory(location.path.clone()), location, platform),
            Form::OciArchive => {
                let members = Members::open(&location.path)?;
                layout::open(Files::Tar(members), location, platform)
            }
            Form::DockerArchive => docker::open(Members::open(&location.path)?, location, platform),
        }?;
        archive.config.platform = archive.config.platform.or(&archive.platform);
        Ok(archive)
    }

    /// Where a layer's blob lies: **not verified**, and whoever reads it finds at most its size and
    /// one byte more.
    ///
    /// # Errors
    /// When it is not there, or is not a regular file.
    pub fn layer(&self, layer: &Descriptor) -> Result<Piece, ArchiveError> {
        let name = blob_name(&layer.digest);
        let mut piece = match &self.files {
            Files::Docker(members, names) => match names.iter().find(|(d, _)| *d == layer.digest) {
                Some((_, name)) => members.piece(name)?,
                None => members.piece(&name)?,
            },
            Files::Tar(members) => members.piece(&name)?,
            Files::Directory(root) => {
                let path = root.join(&name);
                let io = |source| ArchiveError::Io { path: path.clone(), source };
                let file = regular(&path).map_err(io)?;
                let size = file.metadata().map_err(io)?.len();
                Piece { file, at: 0, size }
            }
        };
        piece.size = piece.size.min(layer.size.saturating_add(1));
        Ok(piece)
    }
}

#[cfg(test)]
mod tests;
