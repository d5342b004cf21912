//! Layers that come while others are converted.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use moorline::failure::{Failure, Kind};
use moorline::oci::{Descriptor, Digest, Sha256Digest, media_type};
use moorline::pin::Pin;
use moorline::registry::{Client, Options};
use moorline::resolve::resolve;
use moorline::stage::{Progress, Show, Supply};
use moorline::standin::Running;
use moorline::store::Store;

use crate::common::*;

fn layer(bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type::OCI_LAYER.into(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        annotations: std::collections::BTreeMap::new(),
    }
}

/// The layers that were begun, and by number how many bytes came.
type Told = Arc<Mutex<(Vec<usize>, Vec<u64>)>>;

/// Counts what is told: layers begun, and the bytes of each by its last word.
fn watch() -> (Show, Told) {
    let told = Arc::new(Mutex::new((Vec::new(), vec![0; 9])));
    let seen = Arc::clone(&told);
    let show = move |progress: Progress<'_>| match progress {
        Progress::Layer { number, .. } => seen.lock().unwrap().0.push(number),
        Progress::Received { number, bytes } => seen.lock().unwrap().1[number] = bytes,
        Progress::Reading { .. }
        | Progress::Converting { .. }
        | Progress::Converted { .. }
        | Progress::Waiting(_) => {}
    };
    (Arc::new(show), told)
}

async fn pinned(server: &Running) -> (Client, Pin) {
    let made = put(server.images(), PROJECT, "any", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let client = client(server, good());
    let asked = reference(server.address(), "group/project:v1");
    let pin = resolve(&client, &asked, &amd64()).await.unwrap().pin;
    (client, pin)
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    (dir, store)
}

fn leftovers(store: &Store) -> usize {
    fs::read_dir(store.root().join("tmp")).unwrap().count()
}

fn all(supply: &Supply, at: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    supply.open(at).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_come_once_whole_and_only_when_wanted() {
    let server = stand_in().await;
    let (client, pin) = pinned(&server).await;
    let (_dir, store) = store();
    let contents: Vec<Vec<u8>> =
        (0..6_u8).map(|n| vec![n % 5; 700_000 * (1 + usize::from(n % 5))]).collect();
    let layers: Vec<Descriptor> = contents.iter().map(|bytes| layer(bytes)).collect();
    for bytes in &contents {
        server.images().put_blob(bytes.clone());
    }
    let asked = |at: usize| {
        let path = format!("/v2/{PROJECT}/blobs/{}", layers[at].digest);
        server.seen().iter().filter(|seen| seen.target == path).count()
    };
    let (show, told) = watch();
    let supply = Supply::registry(&layers, &store, &pin, &client, Arc::clone(&show));
    assert_eq!(all(&supply, 3), contents[3]);
    assert_eq!((0..5).map(asked).collect::<Vec<_>>(), [0, 0, 0, 1, 0]);
    supply.want_all();
    for at in [5, 4, 3, 2, 1, 0, 4] {
        assert_eq!(all(&supply, at), contents[at], "layer {at}");
    }
    supply.finish().unwrap();
    // the topmost is the lowest once more
    assert_eq!((0..5).map(asked).collect::<Vec<_>>(), [1; 5]);
    let (mut begun, bytes) = told.lock().unwrap().clone();
    begun.sort_unstable();
    assert_eq!(begun, [1, 2, 3, 4, 5]);
    assert_eq!(bytes[1..6], [700_000, 1_400_000, 2_100_000, 2_800_000, 3_500_000]);
    drop(supply);
    assert_eq!(leftovers(&store), 0);
    for (layer, bytes) in layers.iter().zip(&contents) {
        assert_eq!(&fs::read(store.blob(&layer.digest).unwrap()).unwrap(), bytes);
    }
    // and then without any registry
    let supply = Supply::stored(&layers, &store, watch().0);
    assert_eq!(all(&supply, 0), contents[0]);
    assert_eq!(asked(0), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_layer_ends_all_readers_with_its_error() {
    let server = stand_in().await;
    let (client, pin) = pinned(&server).await;
    let (_dir, store) = store();
    let good = vec![1; 100_000];
    let short = Descriptor { size: 99, ..layer(b"wrong size") };
    for bytes in [&good[..], b"wrong size"] {
        server.images().put_blob(bytes.to_vec());
    }
    for (bad, kind) in [(short, Kind::Integrity), (layer(b"not there"), Kind::NotFound)] {
        let supply =
            Supply::registry(&[bad.clone(), layer(&good)], &store, &pin, &client, watch().0);
        let mut reader = supply.open(1).unwrap();
        assert!(supply.open(0).is_err());
        assert!(reader.read(&mut [0; 10]).is_err());
        let error = supply.failure().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        drop(supply);
        assert_eq!(store.blob(&bad.digest), None);
        assert_eq!(leftovers(&store), 0);
    }
    let supply = Supply::stored(&[layer(b"not there")], &store, watch().0);
    assert!(supply.open(0).is_err());
    assert_eq!(supply.finish().unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_it_leaves_nothing_of_a_download() {
    // a registry that sends a part and then nothing
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sent, begun) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n").unwrap();
        stream.write_all(&vec![0; 2_000_000]).unwrap();
        sent.send(()).unwrap();
        // until the other side goes
        let _ = stream.read(&mut request);
    });
    let server = stand_in().await;
    let (_, mut pin) = pinned(&server).await;
    pin.registry = address.to_string().parse().unwrap();
    let started_here = vec![registry(address)];
    let client = Client::new(Options { started_here, ..offering(Vec::new()) }).unwrap();
    let (_dir, store) = store();
    let layer = Descriptor { size: 5_000_000, ..layer(b"never seen") };
    let supply = Supply::registry(&[layer], &store, &pin, &client, watch().0);
    supply.want_all();
    begun.recv().unwrap();
    assert_eq!(leftovers(&store), 1);
    drop(supply);
    assert_eq!(leftovers(&store), 0);
}
