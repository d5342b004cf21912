//! Media types that Moorline reads, by their field's names.
//!
//! Sources: OCI image specification 1.1, `media-types.md`; docker `image/manifest/v2-s2`.

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// An OCI layer, gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// An OCI layer, zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// An OCI layer, uncompressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A docker manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A docker manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// A docker layer, gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// A docker layer, uncompressed.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// The configuration of a SIF that lies in a registry as an artifact.
pub const SIF_CONFIG: &str = "application/vnd.sylabs.sif.config.v1+json";
/// The SIF itself.
pub const SIF_LAYER: &str = "application/vnd.sylabs.sif.layer.v1.sif";

/// What a client accepts when it asks for a manifest, most specific first.
pub const MANIFESTS: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

/// Whether a content type, parameters included, is an index's.
#[must_use]
pub fn is_index(content_type: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or_default().trim();
    [OCI_INDEX, DOCKER_INDEX].iter().any(|index| index.eq_ignore_ascii_case(name))
}

/// How a layer's tar is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), possibly of several members.
    Gzip,
    /// zstd (RFC 8878), possibly with skippable frames.
    Zstd,
}

/// The compression that a layer's media type states; `None` for types that are no readable layer
/// (encrypted, foreign, or unknown).
#[must_use]
pub fn layer_compression(media_type: &str) -> Option<Compression> {
    match media_type {
        OCI_LAYER_GZIP | DOCKER_LAYER_GZIP => Some(Compression::Gzip),
        OCI_LAYER_ZSTD => Some(Compression::Zstd),
        OCI_LAYER | DOCKER_LAYER => Some(Compression::None),
        _ => None,
    }
}
