//! What an artifact must say to be believed.

use serde_json::{Value, json};

use super::*;
use crate::oci::SifDigest;
use crate::oci::media_type::OCI_MANIFEST;
use crate::pin::Codec;
use crate::sign::{SigningKey, Statement};

fn recipe() -> Recipe {
    crate::stage::convert::recipe(Codec::Zstd, 3, 128 * 1024)
}

fn image() -> Digest {
    Digest::of(b"image")
}

fn key() -> SigningKey {
    let dir = tempfile::tempdir().unwrap();
    SigningKey::create(&dir.path().join("key")).unwrap()
}

fn statement() -> Statement {
    let (manifest, recipe, sif) = (image(), recipe().key(), SifDigest::of(b"SIF"));
    Statement { manifest, recipe, sif, size: 3, tree: None }
}

/// An artifact that holds the SIF of [`statement`], with this statement beside it.
fn artifact(signed: &Value) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": SIF_CONFIG, "digest": Digest::of(b"{}"), "size": 2 },
        "layers": [{ "mediaType": SIF_LAYER, "digest": Digest::of(b"SIF"), "size": 3 }],
        "annotations": { SIGNED: signed },
    })
}

fn read_as(document: &Value, keys: &[PublicKey]) -> Result<Published, String> {
    let bytes = document.to_string().into_bytes();
    let parsed = Document::parse(&bytes, Some(OCI_MANIFEST)).unwrap();
    let found = Fetched { digest: Digest::of(&bytes), bytes, document: parsed };
    read(&found, &image(), &recipe(), keys)
}

fn text(signed: &Signed) -> Value {
    serde_json::to_string(signed).unwrap().into()
}

#[test]
fn the_tag_follows_from_pin_and_recipe() {
    let own = tag(&image(), &recipe()).unwrap();
    assert_eq!(own.as_str(), format!("sha256-{}.{}.sif", image().hex(), recipe().key()));
    assert_ne!(tag(&Digest::of(b"other"), &recipe()), Some(own.clone()));
    let other = Recipe { level: 4, ..recipe() };
    assert_ne!(tag(&image(), &other), Some(own));
    // a tag has at most 128 characters of a small alphabet: no other recipe is taken for this one
    for version in ["1".repeat(80), "1 2".into(), "1/2".into()] {
        assert_eq!(tag(&image(), &Recipe { codec_version: version, ..recipe() }), None);
    }
}

#[test]
fn it_is_used_when_a_listed_key_signed_exactly_it() {
    let (own, other) = (key(), key());
    let signed = own.sign(statement());
    let found = read_as(&artifact(&text(&signed)), &[other.public(), own.public()]).unwrap();
    assert_eq!(found.signed_by, Ok(own.public()));
    assert_eq!(found.digest(), SifDigest::of(b"SIF"));
    let why = |document: &Value, keys: &[PublicKey]| read_as(document, keys).unwrap().signed_by;
    let stranger = why(&artifact(&text(&signed)), &[other.public()]).unwrap_err();
    assert!(stranger.contains(&own.public().to_string()), "{stranger}");
    assert!(why(&artifact(&text(&signed)), &[]).is_err());
    let mut unsigned = artifact(&text(&signed));
    unsigned.as_object_mut().unwrap().remove("annotations");
    assert_eq!(why(&unsigned, &[own.public()]).unwrap_err(), "it is not signed");
    let none = why(&artifact(&"{}".into()), &[own.public()]).unwrap_err();
    assert!(none.contains("signature"), "{none}");
    // signed, but something else than what is there
    for (change, word) in
        [(0, "another image"), (1, "another recipe"), (2, "another SIF"), (3, "another SIF")]
    {
        let mut said = statement();
        match change {
            0 => said.manifest = Digest::of(b"other"),
            1 => said.recipe.push('x'),
            2 => said.sif = SifDigest::of(b"other"),
            _ => said.size += 1,
        }
        let why = why(&artifact(&text(&own.sign(said))), &[own.public()]).unwrap_err();
        assert!(why.contains(word), "{why}");
    }
    // every character of the statement is signed
    let mut forged = text(&signed).as_str().unwrap().replace("\"size\":3", "\"size\":4");
    forged = forged.replace(&SifDigest::of(b"SIF").to_string(), &SifDigest::of(b"lie").to_string());
    let why = why(&artifact(&forged.into()), &[own.public()]).unwrap_err();
    assert_eq!(why, "its signature is wrong");
}

#[test]
fn what_is_no_sif_is_said() {
    let good = artifact(&text(&key().sign(statement())));
    for (pointer, value, word) in [
        ("/config/mediaType", json!("application/vnd.oci.image.config.v1+json"), "configuration"),
        ("/layers", json!([]), "0 files"),
        ("/layers/0/mediaType", json!("text/plain"), "text/plain"),
        ("/annotations", json!({ "a": 1 }), "malformed"),
    ] {
        let mut document = good.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        let why = read_as(&document, &[]).unwrap_err();
        assert!(why.contains(word), "{why}");
    }
}
