//! Gives up every privilege before the program starts.

use std::fs;

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

use super::{Failed, Inside, at, unshare};

pub(super) fn give_up(inside: &Inside) -> Result<(), Failed> {
    unshare(UnshareFlags::NEWUSER).map_err(at("making the program's user namespace"))?;
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{} 0 1", inside.uid)),
        ("gid_map", format!("{} 0 1", inside.gid)),
    ] {
        fs::write(format!("/proc/self/{file}"), text).map_err(at(format!("writing {file}")))?;
    }
    for capability in CapabilitySet::all().iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // this kernel has no such capability
            Ok(()) | Err(Errno::INVAL) => {}
            Err(e) => return Err(at("emptying the bounding set")(e)),
        }
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(at("dropping capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(at("setting no_new_privs"))?;
    // the program, of the same uid, must not look into this process
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(at("prctl"))?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at("prctl"))
}
