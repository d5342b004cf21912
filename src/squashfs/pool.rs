//! Workers that compress blocks; results come back in the order in which blocks were given.
//!
//! ```text
//! submit(raw) --> jobs --> worker, worker, ... --> done (any order) --> next() (given order)
//! ```
//!
//! The caller limits how many blocks are on their way ([`Pool::is_full`]) by taking results. This limits the memory;
//! the length of a queue would not, because one slow block holds up all blocks behind it. A block's result does not
//! depend on which worker makes it, nor on how many there are.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::compress::Compressor;
use super::{Options, SquashfsError};
use crate::tree::PieceHash;

/// Bytes of blocks that may be on their way, unless each worker needs more to be busy.
const MAX_BYTES: usize = 16 << 20;
/// So many blocks at least, if they are in [`MAX_BYTES`]: whoever waits for one is woken less often.
const AHEAD: usize = 32;
/// Bytes of buffers that are kept to be used again: contents that turn out to be known come back many
/// at once.
const SPARE: usize = 8 << 20;
/// Bytes that all workers may take, and what one takes beside two blocks: 25 workers with blocks of
/// 128 KiB. One thread inflates a layer, which feeds 8 of them at best with level 3, and more with
/// slow levels.
const WORKERS: usize = 32 << 20;
const WORKER: usize = 1 << 20;

/// A block that was given, and a buffer for what becomes of it.
struct Job {
    number: u64,
    raw: Vec<u8>,
    /// Of `raw`, where it is known.
    hash: Option<PieceHash>,
    out: Vec<u8>,
}

/// A block as it is written. Its buffer best goes back with [`Pool::give_back_packed`].
pub(super) struct Packed {
    /// It may be longer than the block: what was zeroed once need not be zeroed again.
    buffer: Vec<u8>,
    length: usize,
    pub(super) stored: bool,
    /// Of the bytes as they are written.
    pub(super) sum: PieceHash,
}

impl Packed {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

type Done = (u64, Vec<u8>, Result<Packed, SquashfsError>);

/// The workers, and what is on its way through them.
pub(super) struct Pool {
    /// `None` when it has ended: the workers end when it is closed.
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    workers: Vec<JoinHandle<()>>,
    early: BTreeMap<u64, Result<Packed, SquashfsError>>,
    spare: Vec<Vec<u8>>,
    /// Apart, so that each buffer keeps the length that it needs.
    spare_packed: Vec<Vec<u8>>,
    given: u64,
    taken: u64,
    most: u64,
    keep: usize,
}

impl Pool {
    pub(super) fn new(options: &Options, threads: NonZeroUsize) -> Result<Self, SquashfsError> {
        let (jobs, queue) = channel::<Job>();
        let (results, done) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut workers = Vec::new();
        let room = WORKERS / (WORKER + 2 * options.block_size as usize);
        let threads = threads.min(NonZeroUsize::new(room).unwrap_or(NonZeroUsize::MIN));
        for _ in 0..threads.get() {
            let compressor = Compressor::new(options.codec, options.level, options.block_size)?;
            let (queue, results) = (Arc::clone(&queue), results.clone());
            workers.push(std::thread::spawn(move || work(compressor, &queue, &results)));
        }
        // as it was given, and as it will be written
        let by_memory = MAX_BYTES / (2 * options.block_size as usize);
        let most = (threads.get() * 4).max(AHEAD).min(by_memory).max(threads.get() + 1) as u64;
        Ok(Self {
            jobs: Some(jobs),
            done,
            workers,
            early: BTreeMap::new(),
            spare: Vec::new(),
            spare_packed: Vec::new(),
            given: 0,
            taken: 0,
            most,
            keep: SPARE / options.block_size as usize,
        })
    }

    /// An empty buffer that was used before, so that its memory is not asked for again.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes a buffer back that is not needed any more.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < self.keep {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Takes the buffer of a result back when it is written.
    pub(super) fn give_back_packed(&mut self, packed: Packed) {
        if (self.spare_packed.len() as u64) < self.most {
            self.spare_packed.push(packed.buffer);
        }
    }

    /// Gives a block to the workers, with its hash where that is known.
    pub(super) fn submit(&mut self, raw: Vec<u8>, hash: Option<PieceHash>) {
        let out = self.spare_packed.pop().unwrap_or_default();
        let job = Job { number: self.given, raw, hash, out };
        self.given += 1;
        // it can fail only when all workers are gone: then next() says so
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
    }

    /// Whether a result should be taken before another block is given.
    pub(super) fn is_full(&self) -> bool {
        self.given - self.taken >= self.most
    }

    /// The result of the first block that was given and not yet taken; waits for it.
    pub(super) fn next(&mut self) -> Result<Packed, SquashfsError> {
        let number = self.taken;
        self.taken += 1;
        loop {
            if let Some(result) = self.early.remove(&number) {
                return result;
            }
            let gone = |_| SquashfsError::Compress(io::Error::other("a worker ended"));
            let (number, raw, result) = self.done.recv().map_err(gone)?;
            self.give_back(raw);
            self.early.insert(number, result);
        }
    }
}

impl Pool {
    /// Ends the workers and gives all memory back; no block may be given after that.
    pub(super) fn end(&mut self) {
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // a worker's panic was seen as a missing result
            let _ = worker.join();
        }
        self.spare = Vec::new();
        self.spare_packed = Vec::new();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.end();
    }
}

fn work(mut compressor: Compressor, jobs: &Mutex<Receiver<Job>>, done: &Sender<Done>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { number, raw, hash, mut out }) = job else { return };
        let result = compressor.block_into(&raw, &mut out).map(|(length, stored)| {
            let sum = hash.filter(|_| stored).unwrap_or_else(|| PieceHash::of(&out[..length]));
            Packed { buffer: out, length, stored, sum }
        });
        if done.send((number, raw, result)).is_err() {
            return;
        }
    }
}
