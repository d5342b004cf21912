//! Our client beside an independent one, the crate `oci-client`, against Debian's docker-registry: the same
//! manifests and bytes; what one pushes the other pulls.

use std::io::Cursor;

use moorline::oci::{Digest, Reference, Sha256Digest, Tag, media_type};
use moorline::resolve::resolve;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client as Other, RegistryOperation};

use crate::common::*;
use crate::push::descriptor;
use crate::server::{PUSH_SECRET, PUSHER, available, start};

const ACCEPTED: [&str; 2] = [media_type::OCI_MANIFEST, media_type::OCI_INDEX];

fn theirs(reference: &Reference) -> oci_client::Reference {
    reference.to_string().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_read_the_same_and_each_reads_what_the_other_wrote() {
    if !available("other_client::both_read_the_same_and_each_reads_what_the_other_wrote") {
        return;
    }
    let server = start(300, false).await;
    let _layout = server.filled().await;
    let writer = candidate(PUSHER, PUSH_SECRET, &[&server.stand_in.realm()]);
    let ours = server.client(vec![writer]);
    let other = Other::new(ClientConfig { protocol: ClientProtocol::Http, ..Default::default() });
    let auth = RegistryAuth::Basic(PUSHER.into(), PUSH_SECRET.into());
    let (at, project) = (registry(server.address), repository(PROJECT));

    // skopeo's image, read by both
    let tagged = reference(server.address, &format!("{PROJECT}:v1"));
    let pin = resolve(&ours, &tagged, &amd64()).await.unwrap().pin;
    let (bytes, digest) =
        other.pull_manifest_raw(&theirs(&tagged), &auth, &ACCEPTED).await.unwrap();
    assert_eq!(digest, pin.manifest.to_string());
    let documents = ours.image(&pin).await.unwrap();
    assert_eq!(documents.manifest_bytes, bytes);
    for layer in &documents.manifest.layers {
        let (mut own, mut their) = (Vec::new(), Vec::new());
        ours.blob(&at, &project, layer, &mut own).await.unwrap();
        let name = layer.digest.to_string();
        other.pull_blob(&theirs(&tagged), name.as_str(), &mut their).await.unwrap();
        assert_eq!(own, their);
    }

    // written by us, read by the other
    let config = descriptor(media_type::OCI_CONFIG, b"{}");
    let layer = descriptor(media_type::SIF_LAYER, b"from ours");
    for (blob, content) in [(&config, &b"{}"[..]), (&layer, b"from ours")] {
        ours.push_blob(&at, &project, blob, &mut Cursor::new(content), &|_| ()).await.unwrap();
    }
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config,
        "layers": [layer],
    });
    let manifest = manifest.to_string().into_bytes();
    let tag: Tag = "ours".parse().unwrap();
    let pushed =
        ours.push_manifest(&at, &project, &tag, media_type::OCI_MANIFEST, &manifest).await.unwrap();
    let named = theirs(&reference(server.address, &format!("{PROJECT}:ours")));
    let (bytes, digest) = other.pull_manifest_raw(&named, &auth, &ACCEPTED).await.unwrap();
    assert_eq!((bytes.to_vec(), digest), (manifest, pushed.to_string()));
    let mut their = Vec::new();
    other.pull_blob(&named, layer.digest.to_string().as_str(), &mut their).await.unwrap();
    assert_eq!(their, b"from ours");

    // written by the other, read by us
    let (manifest, config, layer) = image("from the other", "linux/amd64");
    let named = theirs(&reference(server.address, &format!("{PROJECT}:theirs")));
    other.auth(&named, &auth, RegistryOperation::Push).await.unwrap();
    for blob in [&layer, &config] {
        other.push_blob(&named, blob.clone(), &Digest::of(blob).to_string()).await.unwrap();
    }
    let kind = media_type::OCI_MANIFEST.parse().unwrap();
    other.push_manifest_raw(&named, manifest.clone(), kind).await.unwrap();
    let tagged = reference(server.address, &format!("{PROJECT}:theirs"));
    let pin = resolve(&ours, &tagged, &amd64()).await.unwrap().pin;
    assert_eq!(pin.manifest, Digest::of(&manifest));
    let documents = ours.image(&pin).await.unwrap();
    assert_eq!((documents.manifest_bytes, documents.config_bytes), (manifest, config));
    let mut own = Vec::new();
    ours.blob(&at, &project, &documents.manifest.layers[0], &mut own).await.unwrap();
    assert_eq!(own, layer);
}
