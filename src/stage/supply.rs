//! The layers of an image for its conversion: from the store, or downloaded while others are converted.
//!
//! ```text
//! want(i) --> queue --> download, at most 3 at once --> hashed, right --+--> open(i) reads it
//!                                                                       `--> synced, named (a thread
//!                                                                            beside) --> finish()
//! ```
//!
//! Only layers that somebody asked for are downloaded. A blob may be read as soon as its digest was found right, while
//! it is still without a name; it gets its name in the store only when it is synced. So a name never stands for bytes
//! that were not verified, not even after a power cut. When one layer fails, the readers of the others are told at
//! once.
//!
//! The layers of an archive are files already: they are read where they lie, and hashed on the way. What
//! was made of them counts only when [`Supply::finish`] has found the digests right.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::AbortHandle;

use super::{Progress, StageError};
use crate::archive::Piece;
use crate::oci::{Descriptor, Digest, Hasher, Registry, Repository};
use crate::pin::Pin;
use crate::registry::Client;
use crate::store::{Incoming, Store, StoreError};

/// Downloads at once. One connection seldom fills a line; many would take from other users.
const AT_ONCE: usize = 3;
/// Bytes between two reports of a layer.
const REPORT: u64 = 1 << 20;

/// Who watches, from any thread.
pub type Show = Arc<dyn Fn(Progress<'_>) + Send + Sync>;

/// An image's layers. Dropping it ends what is still being downloaded, and waits for that.
pub struct Supply {
    shared: Arc<Shared>,
}

struct Shared {
    layers: Vec<Descriptor>,
    store: Store,
    remote: Option<Arc<Remote>>,
    show: Show,
    state: Mutex<State>,
    changed: Condvar,
    failed: AtomicBool,
    /// Bytes that were read and not told yet.
    untold: AtomicU64,
}

/// Where layers come from that the store lacks.
struct Remote {
    client: Client,
    registry: Registry,
    repository: Repository,
    runtime: Handle,
}

struct State {
    blobs: Vec<Blob>,
    queue: VecDeque<usize>,
    downloads: usize,
    /// Downloads, and blobs that are being synced and named.
    busy: usize,
    tasks: Vec<AbortHandle>,
    fetched: u64,
    failure: Option<StageError>,
    /// The archive that the blobs lie in, and which of them were read and not found right yet.
    archive: Option<String>,
    unproved: Vec<usize>,
}

#[derive(Clone)]
enum Blob {
    /// Nobody wanted it yet.
    Unknown,
    Coming,
    /// Its bytes were verified, or are when they are read.
    Here(Part),
}

/// Where a blob lies.
#[derive(Clone)]
struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Part {
    fn whole(file: File) -> Self {
        Self { file: Arc::new(file), at: 0, end: u64::MAX }
    }
}

impl Supply {
    /// Layers that are all in the store.
    #[must_use]
    pub fn stored(layers: &[Descriptor], store: &Store, show: Show) -> Self {
        Self::new(layers, store, None, show)
    }

    /// Layers that are read where they lie, in an archive of this name. Each is hashed while it is
    /// read; [`Supply::finish`] says whether all that were read were the right ones.
    #[must_use]
    pub fn pieces(
        layers: &[Descriptor],
        store: &Store,
        archive: &str,
        pieces: Vec<Piece>,
        show: Show,
    ) -> Self {
        let supply = Self::new(layers, store, None, show);
        let mut state = supply.shared.lock();
        state.archive = Some(archive.to_owned());
        state.blobs = pieces
            .into_iter()
            .map(|Piece { file, at, size }| {
                let end = at.saturating_add(size);
                Blob::Here(Part { file: Arc::new(file), at, end })
            })
            .collect();
        drop(state);
        supply
    }

    /// Layers of a pin, downloaded where the store lacks them. It must be called on a runtime with
    /// several threads, which goes on while [`Supply::open`] blocks the thread that converts.
    ///
    /// # Panics
    /// On a runtime with one thread.
    #[must_use]
    pub fn registry(
        layers: &[Descriptor],
        store: &Store,
        pin: &Pin,
        client: &Client,
        show: Show,
    ) -> Self {
        let runtime = Handle::current();
        assert!(
            runtime.runtime_flavor() == RuntimeFlavor::MultiThread,
            "layers are downloaded beside the thread that waits for them"
        );
        let (registry, repository) = (pin.registry.clone(), pin.repository.clone());
        let remote = Remote { client: client.clone(), registry, repository, runtime };
        Self::new(layers, store, Some(Arc::new(remote)), show)
    }

    fn new(layers: &[Descriptor], store: &Store, remote: Option<Arc<Remote>>, show: Show) -> Self {
        let state = State {
            blobs: vec![Blob::Unknown; layers.len()],
            queue: VecDeque::new(),
            downloads: 0,
            busy: 0,
            tasks: Vec::new(),
            fetched: 0,
            failure: None,
            archive: None,
            unproved: Vec::new(),
        };
        Self {
            shared: Arc::new(Shared {
                layers: layers.to_vec(),
                store: store.clone(),
                remote,
                show,
                state: Mutex::new(state),
                changed: Condvar::new(),
                failed: AtomicBool::new(false),
                untold: AtomicU64::new(0),
            }),
        }
    }

    /// Says that layer `at` (from 0, the lowest) will be opened; layers come in the order of these
    /// calls.
    pub fn want(&self, at: usize) {
        self.shared.want(at);
    }

    /// Wants all layers, from the top down, as a cold conversion reads them.
    pub fn want_all(&self) {
        (0..self.shared.layers.len()).rev().for_each(|at| self.want(at));
    }

    /// The blob of layer `at` (from 0, the lowest), from its first byte; waits until it is there.
    ///
    /// # Errors
    /// When this layer or, meanwhile, another one could not be had: [`Supply::failure`] says why.
    pub fn open(&self, at: usize) -> io::Result<Box<dyn Read + Send>> {
        let at = self.shared.slot(at).ok_or(io::ErrorKind::InvalidInput)?;
        self.shared.want(at);
        let mut state = self.shared.lock();
        loop {
            if state.failure.is_some() || self.shared.failed.load(Ordering::Relaxed) {
                return Err(gone());
            }
            if let Blob::Here(part) = &state.blobs[at] {
                let (part, shared) = (part.clone(), Arc::clone(&self.shared));
                let check = state.archive.is_some().then(|| Check::of(at));
                if check.is_some() && !state.unproved.contains(&at) {
                    state.unproved.push(at);
                }
                drop(state);
                if check.is_some() {
                    let (number, of) = (at + 1, shared.layers.len());
                    (shared.show)(Progress::Reading { number, of, layer: &shared.layers[at] });
                }
                return Ok(Box::new(Reader { part, shared, check }));
            }
            state = self.shared.wait(state);
        }
    }

    /// How many layers were downloaded.
    pub fn fetched(&self) -> u64 {
        self.shared.lock().fetched
    }

    /// The error that ended the supply, once. Of an archive also a layer that is not what its digest
    /// says, where that was read in part.
    pub fn failure(&self) -> Option<StageError> {
        let mut state = self.shared.lock();
        let failure = state.failure.take();
        let unproved = std::mem::take(&mut state.unproved);
        drop(state);
        failure.or_else(|| unproved.into_iter().find_map(|at| self.prove(at).err()))
    }

    /// Reads a layer of an archive to its end.
    fn prove(&self, at: usize) -> Result<(), StageError> {
        let read = self.open(at).and_then(|mut layer| io::copy(&mut layer, &mut io::sink()));
        match (self.shared.lock().failure.take(), read) {
            (Some(error), _) => Err(error),
            // the file system's trouble is told by who met it
            (None, _) => Ok(()),
        }
    }

    /// Waits until everything that was wanted has its name in the store.
    ///
    /// # Errors
    /// What ended the supply.
    pub fn finish(&self) -> Result<(), StageError> {
        self.shared.tell(0, 0);
        let mut state = self.shared.lock();
        while state.failure.is_none() && (state.busy > 0 || !state.queue.is_empty()) {
            state = self.shared.wait(state);
        }
        if let Some(error) = state.failure.take() {
            return Err(error);
        }
        let unproved = std::mem::take(&mut state.unproved);
        drop(state);
        // a conversion reads to the end, so there is seldom one
        unproved.into_iter().try_for_each(|at| self.prove(at))
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.queue.clear();
        state.tasks.drain(..).for_each(|task| task.abort());
        // temporary files are removed where a download ends
        while state.busy > 0 {
            state = self.shared.wait(state);
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("a layer could not be downloaded")
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The first layer with the same blob: an image may have one several times.
    fn slot(&self, at: usize) -> Option<usize> {
        let wanted = self.layers.get(at)?.digest;
        self.layers.iter().position(|layer| layer.digest == wanted)
    }

    fn want(self: &Arc<Self>, at: usize) {
        let Some(at) = self.slot(at) else { return };
        let mut state = self.lock();
        if !matches!(state.blobs[at], Blob::Unknown) || state.failure.is_some() {
            return;
        }
        if let Some(file) = self.store.open_blob(&self.layers[at].digest) {
            state.blobs[at] = Blob::Here(Part::whole(file));
        } else if self.remote.is_some() {
            state.blobs[at] = Blob::Coming;
            state.queue.push_back(at);
            self.start(&mut state);
        } else {
            let path = self.store.root().join(self.layers[at].digest.to_string());
            let source = io::ErrorKind::NotFound.into();
            self.fail(&mut state, StageError::File { path, source });
        }
    }

    fn fail(&self, state: &mut State, error: StageError) {
        state.queue.clear();
        state.failure.get_or_insert(error);
        self.failed.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Starts what waits, as far as it may.
    fn start(self: &Arc<Self>, state: &mut State) {
        let Some(remote) = &self.remote else { return };
        while state.downloads < AT_ONCE {
            let Some(at) = state.queue.pop_front() else { return };
            state.downloads += 1;
            state.busy += 1;
            let (shared, remote) = (Arc::clone(self), Arc::clone(remote));
            let busy = Busy { shared, download: true };
            let task = remote.runtime.spawn(busy.run(at, Arc::clone(&remote)));
            state.tasks.push(task.abort_handle());
        }
    }

    /// Downloads a layer and lets it be read.
    async fn download(&self, at: usize, remote: &Remote) -> Result<Incoming, StageError> {
        let layer = &self.layers[at];
        let (number, of) = (at + 1, self.layers.len());
        (self.show)(Progress::Layer { number, of, layer });
        let mut sink =
            Sink { incoming: self.store.incoming()?, bytes: 0, told: 0, number, show: &self.show };
        let (registry, repository) = (&remote.registry, &remote.repository);
        let digest = |sink: &Sink<'_>| sink.incoming.measured().0;
        remote.client.blob_hashed(registry, repository, layer, &mut sink, digest).await?;
        sink.tell();
        let incoming = sink.incoming;
        let path = incoming.path().to_owned();
        let file = File::open(&path).map_err(StoreError::io("cannot read", &path))?;
        let mut state = self.lock();
        state.blobs[at] = Blob::Here(Part::whole(file));
        state.fetched += 1;
        drop(state);
        self.changed.notify_all();
        Ok(incoming)
    }
}

/// Work on a layer; counted until it is dropped, however it ends.
struct Busy {
    shared: Arc<Shared>,
    download: bool,
}

impl Busy {
    async fn run(mut self, at: usize, remote: Arc<Remote>) {
        let shared = Arc::clone(&self.shared);
        match shared.download(at, &remote).await {
            Ok(incoming) => {
                self.downloaded();
                // syncing blocks; who reads the blob does not wait for it
                tokio::task::spawn_blocking(move || self.publish(at, incoming));
            }
            Err(error) => {
                shared.fail(&mut shared.lock(), error);
            }
        }
    }

    /// Lets another download begin.
    fn downloaded(&mut self) {
        self.download = false;
        let mut state = self.shared.lock();
        state.downloads -= 1;
        self.shared.start(&mut state);
    }

    /// Syncs and names a blob.
    fn publish(self, at: usize, incoming: Incoming) {
        let layer = &self.shared.layers[at];
        if let Err(error) = self.shared.store.publish_blob(incoming, &layer.digest, layer.size) {
            self.shared.fail(&mut self.shared.lock(), error.into());
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.busy -= 1;
        if self.download {
            state.downloads -= 1;
        }
        self.shared.changed.notify_all();
    }
}

/// A file without a name that tells how much came.
struct Sink<'a> {
    incoming: Incoming,
    bytes: u64,
    told: u64,
    number: usize,
    show: &'a Show,
}

impl Sink<'_> {
    fn tell(&mut self) {
        self.told = self.bytes;
        (self.show)(Progress::Received { number: self.number, bytes: self.bytes });
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = Write::write(&mut self.incoming, data)?;
        self.bytes += count as u64;
        if self.bytes - self.told >= REPORT {
            self.tell();
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.incoming.flush()
    }
}

/// A blob from its first byte; several may read one file.
struct Reader {
    /// What is left of it.
    part: Part,
    shared: Arc<Shared>,
    /// Of an archive's layer.
    check: Option<Check>,
}

/// What was read of a layer of an archive.
struct Check {
    /// Which, from 0.
    at: usize,
    hasher: Hasher,
    length: u64,
    /// Of the length.
    told: u64,
}

impl Check {
    fn of(at: usize) -> Self {
        Self { at, hasher: Hasher::default(), length: 0, told: 0 }
    }

    fn take(&mut self, bytes: &[u8], show: &Show) {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        if bytes.is_empty() || self.length - self.told >= REPORT {
            self.told = self.length;
            show(Progress::Received { number: self.at + 1, bytes: self.length });
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // a conversion that cannot be completed should end now
        if self.shared.failed.load(Ordering::Relaxed) {
            return Err(gone());
        }
        let Part { file, at, end } = &mut self.part;
        let most = usize::try_from(end.saturating_sub(*at)).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let count = file.read_at(&mut buffer[..most], *at)?;
        *at += count as u64;
        self.shared.tell(count as u64, REPORT);
        let ended = count == 0 && !buffer.is_empty();
        if let Some(check) = self.check.as_mut().filter(|_| count > 0 || ended) {
            check.take(&buffer[..count], &self.shared.show);
        }
        match self.check.take_if(|_| ended) {
            Some(Check { at, hasher, length, .. }) => {
                self.shared.compare(at, hasher.finish(), length).map(|()| 0)
            }
            None => Ok(count),
        }
    }
}

impl Shared {
    /// A layer of an archive was read to its end.
    fn compare(&self, at: usize, got: Digest, length: u64) -> io::Result<()> {
        let Descriptor { digest: expected, size, .. } = self.layers[at];
        let mut state = self.lock();
        state.unproved.retain(|unproved| *unproved != at);
        if got == expected && length == size {
            return Ok(());
        }
        let source = StoreError::Mismatch { expected, size, got, length };
        let archive = state.archive.clone().unwrap_or_default();
        self.fail(&mut state, StageError::Layer { archive, source });
        Err(gone())
    }
}

impl Shared {
    /// Tells whoever watches how much was read for the conversion, when it is `least` or more.
    fn tell(&self, count: u64, least: u64) {
        if self.untold.fetch_add(count, Ordering::Relaxed) + count >= least {
            let bytes = self.untold.swap(0, Ordering::Relaxed);
            (self.show)(Progress::Converted { bytes });
        }
    }
}
