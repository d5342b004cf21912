//! The finished file is read once: for its hash tree, for its digest, and for what was copied into it. Its end may
//! still be copied while its beginning is read.
//!
//! ```text
//! read --chunks--+--> hash tree --written behind the file system--.
//!  ^             +--> SHA-256 of all <-----------------------------'
//!  |             `--> BLAKE3 of each copied range, compared
//!  `--- spare ---- whoever is the last to read a chunk
//! ```

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};

use super::ConvertError;
use crate::layer::recycle;
use crate::oci::{Hasher, SifDigest, TreeRoot};
use crate::sif::Ended;
use crate::sif::hash_tree::Builder;
use crate::squashfs::{Copied, Copying, Memo};
use crate::tree::PieceHash;

/// Bytes of a chunk, and how many wait.
const CHUNK: usize = 512 << 10;
const AHEAD: usize = 4;

/// Puts the hash tree behind the file system in `out`, in which `copied` stand as they were in the packs; they
/// are sorted by place and do not overlap. Gives the digest of the whole and the tree's root.
pub(super) fn digest(
    out: &mut (impl Read + Write + Seek),
    parts: Ended,
    copied: &[Copied],
    memo: &Memo,
    copying: &mut Copying,
) -> Result<(SifDigest, TreeRoot), ConvertError> {
    out.seek(SeekFrom::Start(0)).map_err(ConvertError::Digest)?;
    std::thread::scope(|threads| {
        let (give_back, spare) = channel();
        let (to_hash, chunks) = sync_channel::<Arc<Vec<u8>>>(AHEAD);
        let done_with = give_back.clone();
        let hashing = threads.spawn(move || {
            let mut hasher = Hasher::default();
            for chunk in chunks {
                hasher.update(&chunk);
                recycle(chunk, &done_with);
            }
            hasher.finish()
        });
        let (to_tree, chunks) = sync_channel::<Arc<Vec<u8>>>(AHEAD);
        let done_with = give_back.clone();
        let growing = threads.spawn(move || {
            let mut builder = Builder::new(parts.partition);
            for chunk in chunks {
                builder.update(&chunk);
                recycle(chunk, &done_with);
            }
            builder.finish()
        });
        let (to_compare, chunks) = sync_channel(AHEAD);
        let comparing = threads.spawn(move || compare(&chunks, &give_back, copied));
        let mut at = 0;
        while at < parts.end {
            let mut chunk: Vec<u8> = spare.try_recv().unwrap_or_default();
            chunk.resize(usize::try_from(parts.end - at).unwrap_or(usize::MAX).min(CHUNK), 0);
            at += chunk.len() as u64;
            copying.ready(at, memo)?;
            out.read_exact(&mut chunk).map_err(ConvertError::Digest)?;
            let chunk = Arc::new(chunk);
            // who compares ends early when a range differs, or the last was seen
            let _ = to_compare.send(Arc::clone(&chunk));
            let _ = to_tree.send(Arc::clone(&chunk));
            let _ = to_hash.send(chunk);
        }
        copying.ready(u64::MAX, memo)?;
        drop((to_tree, to_compare));
        let ended = |_| ConvertError::Digest(io::Error::other("a thread ended"));
        let built = growing.join().map_err(ended)?;
        // the zeros between are there already, as a hole
        let mut behind = vec![0; usize::try_from(parts.tree - parts.end).unwrap_or(0)];
        behind.extend(&built.bytes);
        out.seek(SeekFrom::Start(parts.end))
            .and_then(|_| out.write_all(&behind))
            .and_then(|()| out.flush())
            .map_err(ConvertError::Digest)?;
        let _ = to_hash.send(Arc::new(behind));
        drop(to_hash);
        let different = comparing.join().map_err(ended)?;
        let digest = hashing.join().map_err(ended)?;
        match different {
            Some(pack) => Err(memo.damaged(pack, "a block in it has changed".into()).into()),
            None => Ok((digest, built.root)),
        }
    })
}

/// The pack of the first range that is not as it was.
fn compare(
    chunks: &Receiver<Arc<Vec<u8>>>,
    spare: &Sender<Vec<u8>>,
    copied: &[Copied],
) -> Option<usize> {
    let mut chunk = Arc::new(Vec::new());
    let mut start = 0;
    let mut bytes = Vec::new();
    for range in copied {
        let length = range.length as usize;
        bytes.clear();
        let found = loop {
            let at = range.at + bytes.len() as u64;
            let from = usize::try_from(at - start).unwrap_or(usize::MAX);
            let rest = chunk.get(from..).unwrap_or_default();
            let part = &rest[..rest.len().min(length - bytes.len())];
            if part.len() == length {
                break PieceHash::of(part);
            }
            bytes.extend(part);
            if bytes.len() == length {
                break PieceHash::of(&bytes);
            }
            start += chunk.len() as u64;
            match chunks.recv() {
                Ok(next) => recycle(std::mem::replace(&mut chunk, next), spare),
                // the file is shorter: told by who reads it
                Err(_) => return Some(range.pack),
            }
        };
        if found != range.sum {
            return Some(range.pack);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::oci::Sha256Digest;

    #[test]
    fn ranges_are_compared_wherever_they_lie() {
        let mut file: Vec<u8> = (0..CHUNK * 2 + 777).map(|n| n.to_le_bytes()[n % 3]).collect();
        let range = |at: usize, length: usize| Copied {
            at: at as u64,
            length: u32::try_from(length).unwrap(),
            sum: PieceHash::of(&file[at..at + length]),
            pack: 0,
        };
        let copied = [
            range(0, 10),
            range(10, 1000),
            range(5000, 0),
            range(CHUNK - 5, 10),
            range(CHUNK + 5, CHUNK + 700),
            range(CHUNK * 2 + 776, 1),
        ];
        let memo = Memo::default();
        let none = &mut Copying::default();
        let end = file.len() as u64;
        let tree = end.next_multiple_of(4096);
        let length = tree + crate::sif::hash_tree::length(end - 4096);
        let parts = Ended { partition: 4096, end, tree, length };
        let mut out = Cursor::new(file.clone());
        let whole = digest(&mut out, parts, &copied, &memo, none).unwrap();
        let mut builder = Builder::new(4096);
        builder.update(&file);
        let built = builder.finish();
        let gap = vec![0; usize::try_from(tree - end).unwrap()];
        assert!(out.get_ref() == &[&file[..], &gap, &built.bytes].concat());
        assert_eq!(whole, (SifDigest::of(out.get_ref()), built.root));
        assert_eq!(out.get_ref().len() as u64, length);
        assert_eq!(digest(&mut Cursor::new(file.clone()), parts, &[], &memo, none).unwrap(), whole);
        let fails = |file: &[u8], parts| {
            digest(&mut Cursor::new(file.to_vec()), parts, &copied, &memo, &mut Copying::default())
                .is_err()
        };
        for at in [0, 9, 500, CHUNK - 1, CHUNK, CHUNK * 2, CHUNK * 2 + 776] {
            file[at] ^= 1;
            assert!(fails(&file, parts), "{at}");
            file[at] ^= 1;
        }
        assert!(fails(&file, Ended { end: end + 1, ..parts }));
    }
}
