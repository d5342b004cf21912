//! `[limits]`: what foreign layers, registries and the files that a job leaves may ask for at most. Site and user say what they like; a project
//! file, which is somebody else's, only lowers.

use std::collections::BTreeMap;

use super::key::{Head, Who};
use crate::config::Value;

/// The limits that somebody said, by name. Whoever applies one of a project file compares it with what held before.
pub type Limits = BTreeMap<String, Value<u64>>;

/// Every limit.
pub(super) static LIMITS: [Head; 18] = [
    limit("limits.entries", "entries in all layers together"),
    limit("limits.layer_bytes", "one layer's tar"),
    limit("limits.metadata_bytes", "names, link targets and extended attributes in all layers"),
    limit("limits.content_bytes", "file content in all layers together, holes included"),
    limit("limits.expansion_ratio", "bytes that one compressed byte may become"),
    limit("limits.path_depth", "directories above each other"),
    limit("limits.path_bytes", "a path or a link's target"),
    limit("limits.link_steps", "names that symbolic links lead paths through"),
    limit("limits.header_bytes", "one extended header"),
    limit("limits.xattr_bytes", "one entry's extended attributes"),
    limit("limits.sparse_pieces", "pieces of one sparse file"),
    limit("limits.manifest_bytes", "a manifest or an index"),
    limit("limits.config_bytes", "an image's configuration"),
    limit("limits.token_bytes", "the answer with a token"),
    limit("limits.index_entries", "manifests that an index names"),
    limit("limits.layers", "layers of an image"),
    limit("limits.tags", "tags of a repository, where all of them are looked at"),
    limit("limits.output_bytes", "declared outputs that are hashed when a job has ended"),
];

const fn limit(name: &'static str, about: &'static str) -> Head {
    Head { name, who: Who::Anyone, also: None, about }
}

/// The upper level's limits over these.
pub(super) fn merge(lower: &mut Limits, upper: Limits) {
    for (name, limit) in upper {
        let lowers = lower.get(&name).is_none_or(|lower| limit.value < lower.value);
        if lowers || !limit.origin.is_project() {
            lower.insert(name, limit);
        }
    }
}
