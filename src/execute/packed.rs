//! What a SIF says without being unpacked: its image's configuration, and its tree for questions that a runtime without a
//! tree of its own leaves open.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::oci::ContainerConfig;
use crate::runtime::Bind;
use crate::runtime::builtin::{Cover, ImageTree, LayoutError, Node, covers, resolve};
use crate::sif::hash_tree::{Checked, Sealed};
use crate::sif::{self, SifError, SifReader};
use crate::squashfs::read::{Decoder, Image, Inode, Kind, Limits, Named, ReadAt, ReadError};

/// The largest text file of an image that is read, in bytes.
const MOST_TEXT: u64 = 16 << 20;

/// Where apptainer and singularity mount something by themselves: what lies below hides nothing more of
/// the image.
const THEIRS: [&str; 6] = ["/proc", "/dev", "/sys", "/tmp", "/var/tmp", crate::job::WORK_DIR];

/// Which of these mounts lie over files of the image.
///
/// # Errors
/// When the SIF holds no squashfs, or it cannot be read; the text says why.
pub(super) fn covered<'a>(
    sif: &File,
    asked: impl Iterator<Item = &'a Bind>,
) -> Result<Vec<Cover>, String> {
    let handle = sif.try_clone().map_err(|e| e.to_string())?;
    let partition =
        SifReader::open(handle).and_then(|r| r.partition()).map_err(|e| e.to_string())?;
    let image = Image::open(sif, partition.offset, partition.size, Limits::default());
    let tree = Packed::new(image.map_err(|e| e.to_string())?);
    let mut mounts = Vec::new();
    for bind in asked {
        // a circle of links: the runtime says what it thinks of it, and nothing is hidden in silence
        let target = resolve(&tree, &bind.target).unwrap_or_else(|_| bind.target.clone());
        mounts.push((target, bind.source.as_path()));
    }
    let over = mounts
        .iter()
        .filter(|(target, _)| {
            !THEIRS.iter().any(|t| target.starts_with(t) && target != Path::new(t))
        })
        .filter(|(target, _)| {
            !mounts.iter().any(|(above, _)| above != target && target.starts_with(above))
        })
        .map(|(target, source)| (target.as_path(), *source));
    covers(&tree, over).map_err(|e| e.to_string())
}

/// A program that apptainer is to start.
pub(super) struct Sought {
    /// As the command says it; `None` when the image's own script starts it.
    pub(super) program: Option<String>,
    /// Where it is looked for.
    pub(super) path: String,
    /// What is mounted over the image.
    pub(super) targets: Vec<PathBuf>,
}

impl Sought {
    /// Whether the image certainly does not have it: none below `PATH`, or none at its own path. What lies below a
    /// mount, or behind links that cannot be followed, may be there.
    pub(super) fn is_missing(&self, sif: &File) -> bool {
        // apptainer looks there as well
        let theirs = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let path = match self.path.as_str() {
            "" => theirs.to_owned(),
            own => format!("{own}:{theirs}"),
        };
        let look = || -> Option<bool> {
            let reader = SifReader::open(sif.try_clone().ok()?);
            let partition = reader.and_then(|reader| reader.partition()).ok()?;
            let image = Image::open(sif, partition.offset, partition.size, Limits::default());
            let tree = Packed::new(image.ok()?);
            Some(is_missing(&tree, self.program.as_deref()?, &path, &self.targets))
        };
        look().unwrap_or(false)
    }
}

fn is_missing(tree: &dyn ImageTree, program: &str, path: &str, mounted: &[PathBuf]) -> bool {
    let missing = |asked: PathBuf| {
        let Ok(found) = resolve(tree, &asked) else { return false };
        let theirs = THEIRS.iter().any(|place| found.starts_with(place));
        let covered = theirs || mounted.iter().any(|target| found.starts_with(target));
        !covered && matches!(tree.node(&found), Ok(None | Some(Node::Directory)))
    };
    let here = Path::new(crate::job::WORK_DIR);
    if program.contains('/') {
        return missing(here.join(program));
    }
    // an empty part of PATH is the working directory
    path.split(':').all(|directory| missing(here.join(directory).join(program)))
}

/// The image configuration's `config`, where the SIF holds one.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn configuration<R: io::Read + io::Seek>(
    reader: &mut SifReader<R>,
) -> Result<Option<ContainerConfig>, SifError> {
    match reader.object(sif::OCI_CONFIG) {
        // a damaged one counts as none: the image's own scripts are asked then
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(SifError::NoObject(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// An image's tree out of its squashfs. Directories that were listed are kept: a root of thousands of names is asked for
/// each of them.
pub(super) struct Packed<S> {
    image: Image<S>,
    lists: Mutex<HashMap<u64, Arc<Vec<Named>>>>,
}

impl Packed<Checked<File>> {
    /// The tree of an image whose blocks are checked when they are read.
    ///
    /// # Errors
    /// When its squashfs is not as it should be; the text says why.
    pub(super) fn sealed(
        sif: &File,
        sealed: &Sealed,
        configured: &BTreeMap<String, u64>,
    ) -> Result<Self, String> {
        let mut limits = Limits::default();
        for (name, value) in configured {
            limits.set(name, *value);
        }
        let checked = sealed.checked(sif.try_clone().map_err(|e| e.to_string())?);
        let image = Image::open(checked, 0, sealed.partition().size, limits);
        image.map(Self::new).map_err(|e| e.to_string())
    }
}

impl<S: ReadAt> Packed<S> {
    fn new(image: Image<S>) -> Self {
        Self { image, lists: Mutex::default() }
    }

    /// The names in a directory; `None` for what is none.
    fn list(&self, reference: u64) -> Result<Option<Arc<Vec<Named>>>, ReadError> {
        let lists = || self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = lists().get(&reference) {
            return Ok(Some(Arc::clone(list)));
        }
        let Kind::Directory(listing) = self.image.inode(reference)?.kind else { return Ok(None) };
        let list = Arc::new(self.image.list(listing)?);
        lists().insert(reference, Arc::clone(&list));
        Ok(Some(list))
    }

    fn reference(&self, path: &Path) -> Result<Option<u64>, ReadError> {
        let mut here = self.image.root();
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let Some(list) = self.list(here)? else { return Ok(None) };
            // the reader refuses a directory that is not sorted
            let at = list.binary_search_by(|named| named.name.as_slice().cmp(name.as_bytes()));
            let Some(named) = at.ok().and_then(|at| list.get(at)) else { return Ok(None) };
            here = named.reference;
        }
        Ok(Some(here))
    }

    /// A text file of the image; links are followed inside the image only. Empty when it has none.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub(super) fn text(&self, asked: &Path) -> Result<Vec<u8>, LayoutError> {
        let path = match resolve(self, asked) {
            // no file of the image, then
            Err(LayoutError::Links(_)) => return Ok(Vec::new()),
            found => found?,
        };
        let unreadable = |source| LayoutError::Tree { path: asked.to_owned(), source };
        let Some(Inode { kind: Kind::File(file), .. }) = self.find(&path).map_err(unreadable)?
        else {
            return Ok(Vec::new());
        };
        if file.size > MOST_TEXT {
            // the container gets the host's entries alone
            return Ok(Vec::new());
        }
        let mut decoder = Decoder::new(&self.image).map_err(|e| unreadable(damaged(&e)))?;
        let mut text = Vec::new();
        self.image.content(&file, &mut decoder).read_to_end(&mut text).map_err(unreadable)?;
        Ok(text)
    }

    fn find(&self, path: &Path) -> io::Result<Option<Inode>> {
        let reference = self.reference(path).map_err(|e| damaged(&e))?;
        reference.map(|at| self.image.inode(at).map_err(|e| damaged(&e))).transpose()
    }
}

fn damaged(error: &ReadError) -> io::Error {
    io::Error::other(error.to_string())
}

impl<S: ReadAt> ImageTree for Packed<S> {
    fn node(&self, path: &Path) -> io::Result<Option<Node>> {
        Ok(self.find(path)?.map(|inode| match inode.kind {
            Kind::Directory(_) => Node::Directory,
            Kind::File(_) => Node::File,
            Kind::Symlink(to) => Node::Link(OsString::from_vec(to).into()),
            Kind::Block(..) | Kind::Character(..) | Kind::Fifo | Kind::Socket => Node::Other,
        }))
    }

    fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let list = self.reference(path).and_then(|at| at.map_or(Ok(None), |at| self.list(at)));
        let list = list.map_err(|e| damaged(&e))?.ok_or(io::ErrorKind::NotADirectory)?;
        Ok(list.iter().map(|named| OsString::from_vec(named.name.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image with these files and links.
    struct Few;

    impl ImageTree for Few {
        fn node(&self, path: &Path) -> io::Result<Option<Node>> {
            Ok(match path.to_str().unwrap() {
                "/" | "/usr" | "/usr/bin" | "/opt" => Some(Node::Directory),
                "/usr/bin/env" => Some(Node::File),
                "/bin" => Some(Node::Link("usr/bin".into())),
                "/loop" => Some(Node::Link("/loop".into())),
                _ => None,
            })
        }

        fn names(&self, _: &Path) -> io::Result<Vec<OsString>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_program_is_missing_only_where_nothing_could_bring_it() {
        let missing = |program: &str, path: &str| {
            is_missing(&Few, program, path, &[PathBuf::from("/opt"), "/work_dir".into()])
        };
        for (program, path) in
            [("/usr/bin/gone", ""), ("/opt-not", ""), ("gone", "/usr/bin:/bin"), ("/usr", "")]
        {
            assert!(missing(program, path), "{program}");
        }
        for (program, path) in [
            ("env", "/sbin:/bin"),
            ("/bin/env", ""),
            ("/opt/tool", ""),
            ("tool", "/sbin:/opt"),
            ("./analyse", "/sbin"),
            ("analyse", "/sbin:"),
            ("/tmp/x", ""),
            ("/loop/x", ""),
        ] {
            assert!(!missing(program, path), "{program}");
        }
    }
}
