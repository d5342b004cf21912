//! Gives up every privilege before the program starts.

use std::fs;

use rustix::io::Errno;
use rustix::process::DumpableBehavior;
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

use crate::execute::failed::{Failed, at};
use crate::execute::unshare::unshare;

/// No capability.
pub(in crate::execute) const NONE: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// A user namespace with the caller's own ids, which owns no mount. The process must have one thread.
pub(in crate::execute) fn own_namespace(uid: u32, gid: u32) -> Result<(), Failed> {
    unshare(UnshareFlags::NEWUSER).map_err(at("making the program's user namespace"))?;
    map(&format!("{uid} 0 1"), &format!("{gid} 0 1"))
}

/// Writes the maps of the user namespace that this process has just made.
pub(in crate::execute) fn map(uid: &str, gid: &str) -> Result<(), Failed> {
    for (file, text) in [("setgroups", "deny"), ("uid_map", uid), ("gid_map", gid)] {
        fs::write(format!("/proc/self/{file}"), text).map_err(at(format!("writing {file}")))?;
    }
    Ok(())
}

/// No capability now, none ever.
pub(in crate::execute) fn give_up() -> Result<(), Failed> {
    for capability in CapabilitySet::all().iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // this kernel has no such capability
            Ok(()) | Err(Errno::INVAL) => {}
            Err(e) => return Err(at("emptying the bounding set")(e)),
        }
    }
    drop_own()
}

/// No capability now, for a process that starts nothing.
pub(in crate::execute) fn drop_own() -> Result<(), Failed> {
    rustix::thread::set_capabilities(None, NONE).map_err(at("dropping capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(at("setting no_new_privs"))?;
    hide()
}

/// The program, of the same uid, must not look into this process.
pub(in crate::execute) fn hide() -> Result<(), Failed> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(at("prctl"))
}
