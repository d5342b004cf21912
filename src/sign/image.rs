//! Signatures of images: who vouches that a SIF was made from a manifest.
//!
//! ```text
//! {"schema":1,"key":"ed25519:BASE64","manifest":"sha256:..","recipe":"l1-t2-..","sif":"sha256:..",
//!  "size":N,"signature":"BASE64","tree":"sha256:..","tree_signature":"BASE64"}
//!
//! signature       moorline image 1\nmanifest sha256:..\nrecipe l1-t2-..\nsif sha256:..\nsize N\n
//! tree_signature  moorline image tree 1\nmanifest sha256:..\nrecipe l1-t2-..\nsif sha256:..\nsize N\ntree sha256:..\n
//! ```
//!
//! The root of the SIF's hash tree came later, and has a signature of its own: an older program reads the first one
//! and does not see the second, and a statement of an older program has no root. Without one the SIF is hashed whole
//! where it runs.
//!
//! The SIF's digest is that of the whole file, so that its header and descriptors are signed as well
//! (CVE-2020-13847); what is not signed by a listed key is nothing (CVE-2020-13846).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{PublicKey, SigningKey};
use crate::failure::{Failure, Kind};
use crate::oci::{Digest, SifDigest, TreeRoot};

const SCHEMA: u32 = 1;

/// Why a signature is not believed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Not signed by a key that is trusted.
    #[error("it is signed by {0}, which is not one of the configured keys")]
    Stranger(PublicKey),
    /// The signature is not that of the statement.
    #[error("its signature is wrong")]
    Wrong,
    /// Written by a newer program.
    #[error("its signature has schema {0}, this moorline knows {SCHEMA}")]
    Schema(u32),
}

impl Failure for SignError {
    fn kind(&self) -> Kind {
        Kind::Integrity
    }
}

/// What is vouched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// What the SIF was made from.
    pub manifest: Digest,
    /// How: the recipe's key.
    pub recipe: String,
    /// The whole file.
    pub sif: SifDigest,
    /// Its length in bytes.
    pub size: u64,
    /// The root of its hash tree, by which each block can be checked when it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeRoot>,
}

impl Statement {
    fn bytes(&self) -> Vec<u8> {
        self.lines("moorline image 1").into_bytes()
    }

    fn tree_bytes(&self, tree: TreeRoot) -> Vec<u8> {
        format!("{}tree {tree}\n", self.lines("moorline image tree 1")).into_bytes()
    }

    fn lines(&self, first: &str) -> String {
        let Self { manifest, recipe, sif, size, .. } = self;
        format!("{first}\nmanifest {manifest}\nrecipe {recipe}\nsif {sif}\nsize {size}\n")
    }
}

/// A statement and who signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    schema: u32,
    key: PublicKey,
    #[serde(flatten)]
    statement: Statement,
    signature: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tree_signature: Option<String>,
}

impl Signed {
    /// Who claims to have signed it; [`Signed::verify`] tells whether they did.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// What it says, whether that is signed or not.
    #[must_use]
    pub fn claim(&self) -> &Statement {
        &self.statement
    }

    /// The statement, when one of `keys` signed it.
    ///
    /// # Errors
    /// When another key did, or the signature is wrong.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<&Statement, SignError> {
        if self.schema != SCHEMA {
            return Err(SignError::Schema(self.schema));
        }
        if !keys.contains(&self.key) {
            return Err(SignError::Stranger(self.key));
        }
        let made = |signature: &str, bytes: &[u8]| {
            STANDARD.decode(signature).is_ok_and(|signature| self.key.made(&signature, bytes))
        };
        // what cannot be written on a line of its own was never signed
        if self.statement.recipe.chars().any(char::is_control) {
            return Err(SignError::Wrong);
        }
        let statement = &self.statement;
        let tree = statement.tree.is_none_or(|tree| {
            let signature = self.tree_signature.as_deref().unwrap_or_default();
            made(signature, &statement.tree_bytes(tree))
        });
        if tree && made(&self.signature, &statement.bytes()) {
            Ok(statement)
        } else {
            Err(SignError::Wrong)
        }
    }
}

impl SigningKey {
    /// Vouches for a statement.
    #[must_use]
    pub fn sign(&self, statement: Statement) -> Signed {
        let sign = |bytes: &[u8]| STANDARD.encode(self.signature(bytes));
        let signature = sign(&statement.bytes());
        let tree_signature = statement.tree.map(|tree| sign(&statement.tree_bytes(tree)));
        Signed { schema: SCHEMA, key: self.public(), statement, signature, tree_signature }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Sha256Digest;

    fn statement() -> Statement {
        Statement {
            manifest: Digest::of(b"manifest"),
            recipe: "l1-t2-zstd1.5.7-3-128k".into(),
            sif: SifDigest::of(b"sif"),
            size: 3,
            tree: None,
        }
    }

    #[test]
    fn only_what_a_listed_key_signed_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::create(&dir.path().join("key")).unwrap();
        let other = SigningKey::create(&dir.path().join("other")).unwrap();
        let signed = key.sign(statement());
        assert_eq!(signed.verify(&[other.public(), key.public()]).unwrap(), &statement());
        assert!(matches!(signed.verify(&[other.public()]), Err(SignError::Stranger(_))));
        assert!(matches!(signed.verify(&[]), Err(SignError::Stranger(_))));
        let text = serde_json::to_string(&signed).unwrap();
        assert_eq!(serde_json::from_str::<Signed>(&text).unwrap(), signed);
        let forged = Signed { key: other.public(), ..signed.clone() };
        assert!(matches!(forged.verify(&[other.public()]), Err(SignError::Wrong)));
        for change in 0..4 {
            let mut lie = signed.clone();
            match change {
                0 => lie.statement.manifest = Digest::of(b"other"),
                1 => lie.statement.recipe = "l1-t2-gzip1-9-128k".into(),
                2 => lie.statement.sif = SifDigest::of(b"other"),
                _ => lie.statement.size += 1,
            }
            assert!(matches!(lie.verify(&[key.public()]), Err(SignError::Wrong)), "{change}");
        }
    }

    #[test]
    fn a_root_is_signed_beside_what_older_programs_read() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::create(&dir.path().join("key")).unwrap();
        let keys = [key.public()];
        let old = key.sign(statement());
        let text = serde_json::to_string(&old).unwrap();
        assert!(!text.contains("tree"), "an older program's form: {text}");
        let tree = Some(TreeRoot::of(b"tree"));
        let new = key.sign(Statement { tree, ..statement() });
        assert_eq!(new.verify(&keys).unwrap().tree, tree);
        // an older program reads the same document without what it does not know
        assert_eq!(new.signature, old.signature);
        // a root that nobody signed, another one, and one whose signature was cut off
        let with = |tree, tree_signature: Option<&String>| {
            let mut changed = new.clone();
            changed.statement.tree = tree;
            changed.tree_signature = tree_signature.cloned();
            changed.verify(&keys).map(|said| said.tree).map_err(|_| ())
        };
        let signature = new.tree_signature.as_ref();
        assert_eq!(with(Some(TreeRoot::of(b"other")), signature), Err(()));
        assert_eq!(with(tree, None), Err(()));
        assert_eq!(with(tree, Some(&new.signature)), Err(()));
        assert_eq!(with(None, None), Ok(None), "then the SIF is hashed whole");
    }
}
