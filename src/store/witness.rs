//! Whether a mapping of the store is true: a witness is asked that jobs cannot reach.
//!
//! A job may reach the store by a path that is not hidden from it. If it wrote a mapping that names another image's
//! SIF, the verdict would be *Match, measured*. So each conversion is recorded with the witness (`cli` passes the
//! ledger) before it is mapped. A mapping without a record is not used: the image is made again.

use std::sync::Arc;

use super::{Store, StoreError, Witness};
use crate::oci::{Digest, SifDigest, TreeRoot};
use crate::pin::Recipe;

impl Store {
    /// The same store, whose mappings are held against what a witness knows.
    #[must_use]
    pub fn with_witness(self, witness: Arc<dyn Witness>) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// Whether a mapping can be believed.
    pub(super) fn believes(&self, manifest: &Digest, recipe: &Recipe, sif: &SifDigest) -> bool {
        let Some(witness) = &self.witness else { return true };
        match witness.knows(manifest, recipe, sif) {
            Ok(true) => true,
            Ok(false) => {
                self.tell(format!(
                    "the store says that {manifest} gave {sif}, and the ledger has no record that you made \
                     it: the image is made again"
                ));
                false
            }
            Err(why) => {
                self.tell(format!("what the store has of {manifest} cannot be believed: {why}"));
                false
            }
        }
    }

    /// The root that a mapping says, when it can be believed: by it alone blocks would be taken for the SIF's.
    pub(super) fn tree_of(&self, sif: &SifDigest, said: Option<TreeRoot>) -> Option<TreeRoot> {
        let Some(witness) = &self.witness else { return said };
        said.filter(|said| witness.tree(sif) == Some(*said))
    }

    /// Whether a SIF of the store is one that this user made, whose blocks later conversions may use.
    pub(super) fn made_here(&self, sif: &SifDigest) -> bool {
        self.witness.as_ref().is_none_or(|witness| witness.made(sif))
    }

    /// Whether an index of the store is one that this user's conversions wrote: it decides which bytes are copied,
    /// and whoever can write it can also seal it.
    pub(super) fn wrote(&self, kind: &str, recipe: &Recipe, seal: &[u8; 32]) -> bool {
        self.witness.as_ref().is_none_or(|witness| witness.kept(kind, recipe, seal))
    }

    /// Records an index before it has its name.
    ///
    /// # Errors
    /// When nobody could be told: it would never be used.
    pub(super) fn writes(
        &self,
        kind: &str,
        recipe: &Recipe,
        seal: &[u8; 32],
    ) -> Result<(), StoreError> {
        let Some(witness) = &self.witness else { return Ok(()) };
        let kept = witness.keep(kind, recipe, seal).map_err(std::io::Error::other);
        kept.map_err(StoreError::io("cannot record an index of", &self.root))
    }

    /// Records a SIF before it is mapped.
    pub(super) fn witnessed(
        &self,
        manifest: &Digest,
        recipe: &Recipe,
        sif: &SifDigest,
        tree: Option<TreeRoot>,
    ) {
        let Some(witness) = &self.witness else { return };
        if let Err(why) = witness.note(manifest, recipe, sif, tree) {
            self.tell(format!(
                "that {manifest} gave {sif} could not be recorded ({why}): it is made again next time"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::ledger::testing;
    use crate::oci::Sha256Digest;

    #[derive(Debug, Default)]
    struct Notes(Mutex<Vec<(Digest, SifDigest, Option<TreeRoot>)>>, Mutex<Vec<String>>);

    impl Witness for Notes {
        fn knows(&self, manifest: &Digest, _: &Recipe, sif: &SifDigest) -> Result<bool, String> {
            Ok(self.0.lock().unwrap().iter().any(|known| (known.0, known.1) == (*manifest, *sif)))
        }

        fn made(&self, sif: &SifDigest) -> bool {
            self.0.lock().unwrap().iter().any(|(_, made, _)| made == sif)
        }

        fn tree(&self, sif: &SifDigest) -> Option<TreeRoot> {
            self.0.lock().unwrap().iter().find(|(_, made, _)| made == sif)?.2
        }

        fn note(
            &self,
            manifest: &Digest,
            _: &Recipe,
            sif: &SifDigest,
            tree: Option<TreeRoot>,
        ) -> Result<(), String> {
            self.0.lock().unwrap().push((*manifest, *sif, tree));
            Ok(())
        }

        fn kept(&self, kind: &str, recipe: &Recipe, seal: &[u8; 32]) -> bool {
            self.1.lock().unwrap().contains(&format!("{kind} {} {seal:?}", recipe.key()))
        }

        fn keep(&self, kind: &str, recipe: &Recipe, seal: &[u8; 32]) -> Result<(), String> {
            self.1.lock().unwrap().push(format!("{kind} {} {seal:?}", recipe.key()));
            Ok(())
        }
    }

    #[test]
    fn a_mapping_that_nobody_recorded_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let notes: Arc<Notes> = Arc::default();
        let plain = Store::open(&dir.path().join("s")).unwrap();
        let store = plain.clone().with_witness(Arc::clone(&notes) as Arc<dyn Witness>);
        let recipe = testing::recipe();
        let publish = |store: &Store, bytes: &[u8]| {
            let mut file = store.incoming().unwrap();
            file.write(bytes).unwrap();
            let (of, sif) = (Digest::of(&bytes[1..]), SifDigest::of(bytes));
            let tree = Some(TreeRoot::of(&bytes[..1]));
            store.publish_sif(file, &of, &recipe, (sif, bytes.len() as u64), tree).unwrap();
            of
        };
        let (one, two, old) =
            (publish(&store, b"one"), publish(&store, b"two"), publish(&plain, b"old"));
        assert!(store.sif(&one, &recipe).unwrap().is_some() && store.told().is_empty());
        assert_eq!(store.sif(&old, &recipe).unwrap(), None);
        assert!(store.told()[0].contains("no record"));
        // a root that nobody recorded is none: the SIF is hashed whole then
        let mapping = plain.mapping_path(&one, &recipe);
        let text = std::fs::read_to_string(&mapping).unwrap();
        let (right, wrong) = (TreeRoot::of(b"o"), TreeRoot::of(b"t"));
        assert_eq!(store.sif(&one, &recipe).unwrap().unwrap().tree, Some(right));
        std::fs::remove_file(&mapping).unwrap();
        std::fs::write(&mapping, text.replace(&right.to_string(), &wrong.to_string())).unwrap();
        assert_eq!(plain.sif(&one, &recipe).unwrap().unwrap().tree, Some(wrong));
        assert_eq!(store.sif(&one, &recipe).unwrap().unwrap().tree, None);
        // the other's mapping in its place, with the right name of the manifest in it
        let (from, to) = (plain.mapping_path(&two, &recipe), plain.mapping_path(&one, &recipe));
        let text = std::fs::read_to_string(from).unwrap();
        std::fs::remove_file(&to).unwrap();
        std::fs::write(&to, text.replace(&two.to_string(), &one.to_string())).unwrap();
        assert!(plain.sif(&one, &recipe).unwrap().is_some(), "alone it would be believed");
        assert!(plain.told().is_empty());
        assert_eq!(store.sif(&one, &recipe).unwrap(), None);
        assert!(
            store.made_here(&SifDigest::of(b"two")) && !store.made_here(&SifDigest::of(b"old"))
        );
    }
}
