//! The images in a registry: the stand-in, in this process.

use std::path::Path;
use std::sync::OnceLock;

use crate::support::{Server, config};
use crate::sweep::images;

/// A project that everybody may read.
const PROJECT: &str = "physics/open";

/// `HOST:PORT/PROJECT`, with the image `tiny` and, as `topped`, the one with a layer on top.
pub fn place() -> &'static str {
    static PLACE: OnceLock<String> = OnceLock::new();
    PLACE.get_or_init(|| {
        // it serves as long as this process lives
        let server: &Server = Box::leak(Box::new(Server::start(config())));
        let dir = tempfile::tempdir().unwrap();
        for (tag, image) in [("tiny", images::tiny as fn(&Path)), ("topped", images::topped)] {
            let layout = dir.path().join(tag);
            image(&layout);
            let store = server.running.images();
            store.load_layout(&layout, PROJECT).unwrap();
            let index = std::fs::read(layout.join("index.json")).unwrap();
            let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
            let digest = index["manifests"][0]["digest"].as_str().unwrap();
            store.tag(PROJECT, tag, digest.parse().unwrap());
        }
        format!("{}/{PROJECT}", server.address())
    })
}
