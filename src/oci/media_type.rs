//! The media types that Moorline reads, as constants.
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
    [OCI_INDEX, DOCKER_INDEX].contains(&essence(content_type).as_str())
}

/// docker's own name for an image's configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// A media type without its parameters, in lower case: that is all that counts of it (RFC 6838, 4.2).
#[must_use]
pub fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a type says nothing of what it is about: old registries and builders wrote
/// `application/octet-stream`, `text/html`, or nothing. Then the bytes decide.
fn says_nothing(essence: &str) -> bool {
    !essence.starts_with("application/vnd.")
}

/// Whether a manifest whose configuration has this type may be an image; what the configuration's
/// bytes say decides. `false` for what is another thing by its own word: SIFs, charts, signatures.
#[must_use]
pub fn may_be_image_config(media_type: &str) -> bool {
    let essence = essence(media_type);
    [OCI_CONFIG, DOCKER_CONFIG].contains(&essence.as_str()) || says_nothing(&essence)
}

/// What a layer's media type says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerType {
    /// A tar, or nothing that says otherwise. How it is compressed, its bytes say.
    Tar,
    /// Encrypted.
    Encrypted,
    /// Not distributed with the image.
    Foreign,
    /// Another thing.
    Other,
}

/// What OCI's and docker's types of layers begin with, those of old drafts too.
const LAYERS: [&str; 4] = [
    "application/vnd.oci.image.layer.",
    "application/vnd.oci.image.serialization.rootfs.",
    "application/vnd.docker.image.rootfs.",
    "application/vnd.docker.container.image.rootfs.",
];

/// What a layer's media type says of it. The compression that it states is not asked for: builders and
/// registries are known to be wrong about it, and the layer's `diff_id` protects what is read.
#[must_use]
pub fn layer_type(media_type: &str) -> LayerType {
    let essence = essence(media_type);
    let foreign = ["foreign", "nondistributable", "non_distributable"];
    if essence.contains("encrypted") {
        LayerType::Encrypted
    } else if foreign.iter().any(|word| essence.contains(word)) {
        LayerType::Foreign
    } else if says_nothing(&essence) || LAYERS.iter().any(|own| essence.starts_with(own)) {
        LayerType::Tar
    } else {
        LayerType::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_hints() {
        for (media_type, meant) in [
            (OCI_LAYER_GZIP, LayerType::Tar),
            (DOCKER_LAYER, LayerType::Tar),
            ("application/vnd.oci.image.serialization.rootfs.tar.gzip", LayerType::Tar),
            ("application/vnd.docker.container.image.rootfs.diff+x-gtar", LayerType::Tar),
            ("Application/VND.oci.image.layer.v1.tar; charset=utf-8", LayerType::Tar),
            ("application/octet-stream", LayerType::Tar),
            ("text/html", LayerType::Tar),
            ("", LayerType::Tar),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", LayerType::Encrypted),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", LayerType::Foreign),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar", LayerType::Foreign),
            ("application/vnd.in-toto+json", LayerType::Other),
            (SIF_LAYER, LayerType::Other),
        ] {
            assert_eq!(layer_type(media_type), meant, "{media_type}");
        }
        for media_type in
            [OCI_CONFIG, DOCKER_CONFIG, "", "text/html", "application/octet-stream", "text/plain"]
        {
            assert!(may_be_image_config(media_type), "{media_type}");
        }
        for media_type in [SIF_CONFIG, "application/vnd.cncf.helm.config.v1+json"] {
            assert!(!may_be_image_config(media_type), "{media_type}");
        }
    }
}
