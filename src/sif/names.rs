//! The names of Moorline's own objects in a SIF.

/// The name of the object that says which digests and which recipe a SIF was made from.
pub const PROVENANCE: &str = "moorline.json";

/// The name of the object that holds the image's manifest, byte for byte.
pub const MANIFEST: &str = "oci-manifest.json";

/// The name of the object that holds the hash tree; see [`crate::sif::hash_tree`].
pub const HASH_TREE: &str = "moorline-hash-tree";

/// The name of the object that `apptainer inspect` shows.
pub const INSPECT: &str = "inspect-metadata.json";

/// The name of the object that holds the image configuration's `config`.
pub const OCI_CONFIG: &str = "oci-config.json";
