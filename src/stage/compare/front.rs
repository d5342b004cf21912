//! What stands in front of a SIF's file system: header, descriptors and objects, byte by byte.
//!
//! ```text
//! objects of our own, in two of them the recipe that the given one states --SifWriter--> a front
//!     the given file's first bytes == that front         but for the id, which follows from the recipe
//! ```
//!
//! Runtimes act on these bytes: the first line is what the kernel starts, and `apptainer inspect` shows
//! the objects. So they are compared as bytes and not by their meaning, which two readers of one JSON
//! text need not share, and nothing may stand between them or behind the file system.

use std::fs::File;
use std::io::{self, Cursor};
use std::os::unix::fs::FileExt;

use serde_json::Value;

use crate::pin::Recipe;
use crate::sif::{self, DataType, Identity, SifError, SifReader, SifWriter};

/// The label that says the recipe.
const LABEL: &str = "io.moorline.recipe";

/// The first difference between what stands in front of a given SIF's file system and what would
/// stand in front of our own, had `recipe` made it; `None` when there is none.
///
/// # Errors
/// When our own cannot be read.
pub(super) fn difference(given: &File, own: &File, recipe: &Recipe) -> io::Result<Option<String>> {
    let mut ours = SifReader::open(own).map_err(io::Error::other)?;
    let read = SifReader::open(given).and_then(|sif| sif.partition().map(|place| (sif, place)));
    let (mut theirs, partition) = match read {
        Ok(both) => both,
        Err(why) => return Ok(Some(why.to_string())),
    };
    let (arch, time, uuid) = (ours.header().arch, ours.header().created, theirs.header().uuid);
    if theirs.header().arch != arch || partition.arch != arch {
        return Ok(Some("it is marked as for another processor".into()));
    }
    let (found, mut expected) = (theirs.descriptors().to_vec(), ours.descriptors().to_vec());
    if !recipe.has_tree() {
        expected.retain(|descriptor| descriptor.name != sif::HASH_TREE);
    }
    if found.len() != expected.len() {
        let (has, should) = (found.len(), expected.len());
        return Ok(Some(format!("it has {has} objects where {should} belong")));
    }
    let mut front = Cursor::new(Vec::new());
    let mut sif = SifWriter::begin(&mut front, Identity { uuid, time, arch }).map_err(failed)?;
    for (found, expected) in found.iter().zip(&expected) {
        let what = what(expected.data_type, &expected.name);
        if (found.data_type, &found.name) != (expected.data_type, &expected.name) {
            return Ok(Some(format!("{what} is missing, or not in its place")));
        }
        if expected.primary.is_some() || expected.name == sif::HASH_TREE {
            // the trees of files are compared next, the tree of hashes before
            continue;
        }
        let own = ours.read(expected).map_err(failed)?;
        let found = match theirs.read(found) {
            Ok(found) => found,
            Err(why) => return Ok(Some(format!("{what} cannot be read: {why}"))),
        };
        if !is_stated(&found, &own, &expected.name, recipe)? {
            return Ok(Some(format!("{what} is another")));
        }
        sif.object(expected.data_type, &expected.name, &found).map_err(failed)?;
    }
    sif.partition().map_err(failed)?;
    let length = if recipe.has_tree() {
        sif.finish_with_tree(partition.size).map(|ended| ended.length)
    } else {
        sif.finish(partition.size)
    };
    let length = length.map_err(failed)?;
    let expected = front.into_inner();
    let mut found = vec![0; expected.len()];
    if let Err(why) = given.read_exact_at(&mut found, 0) {
        return Ok(Some(format!("it cannot be read: {why}")));
    }
    if let Some(at) = found.iter().zip(&expected).position(|(a, b)| a != b) {
        return Ok(Some(format!("its header or descriptors are others, from byte {at} on")));
    }
    let behind = given.metadata()?.len() != length;
    Ok(behind.then(|| "something stands behind its parts".into()))
}

/// Whether an object is our own as it is where `recipe` made the SIF.
fn is_stated(found: &[u8], own: &[u8], name: &str, recipe: &Recipe) -> io::Result<bool> {
    match name {
        sif::INSPECT => {
            let mut whole: Value = serde_json::from_slice(own)?;
            if let Some(labels) = whole.pointer_mut("/data/attributes/labels") {
                state(labels, recipe);
            }
            Ok(found == own || found == sif::pretty(&whole))
        }
        sif::PROVENANCE => {
            let mut whole: Value = serde_json::from_slice(own)?;
            if let Some(said) = whole.get_mut("recipe") {
                *said = serde_json::to_value(recipe)?;
            }
            Ok(found == whole.to_string().into_bytes())
        }
        _ => Ok(found == own),
    }
}

/// Whether labels are our own as they are where `recipe` made the SIF.
pub(super) fn are_labels(found: &[u8], own: &[u8], recipe: &Recipe) -> io::Result<bool> {
    let mut labels = serde_json::from_slice(own)?;
    state(&mut labels, recipe);
    Ok(found == own || found == sif::pretty(&labels))
}

/// A label names the recipe by its versions, ours or the given one's; nothing depends on it.
fn state(labels: &mut Value, recipe: &Recipe) {
    if let Some(label) = labels.get_mut(LABEL) {
        *label = recipe.key().into();
    }
}

fn what(kind: DataType, name: &str) -> String {
    match kind {
        DataType::Definition => "its definition file".into(),
        DataType::Partition => "its file system".into(),
        _ => format!("its object {name}"),
    }
}

fn failed(error: SifError) -> io::Error {
    io::Error::other(error)
}
