//! What no container of a job may see, whatever runs it.

use std::path::{Path, PathBuf};

use super::{rootfs, scratch};
use crate::worker::Plan;

/// The places on this machine.
pub(super) fn unseen(plan: &Plan, control: &Path) -> Vec<PathBuf> {
    // the cache is made by now, so that it can be hidden also from a container that does not need it
    let cache = rootfs::to_hide(Some(&scratch::cache_base(plan)));
    plan.hide.iter().cloned().chain([control.to_owned()]).chain(cache).collect()
}
