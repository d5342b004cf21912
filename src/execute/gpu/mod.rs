//! `--gpu`: the machine's graphics processors, for a container.
//!
//! ```text
//! /proc/driver/nvidia, /sys, /dev  --found.rs-->  which there are, which this job may open, what the receipt says
//! /etc/ld.so.cache                 --libraries.rs-->  the driver's libraries, which fit this kernel's driver alone
//! /etc/cdi, /var/run/cdi           --cdi.rs-->  what podman and docker call them
//! ```
//!
//! Each runtime's file says what it makes of it. Everything here takes the machine's root as an argument: the tests have
//! driver files of their own (simulated), because no machine of ours has such a processor.

mod cdi;
mod found;
mod libraries;

pub(super) use cdi::{Specification, devices};
pub(super) use found::{Found, Vendor, look};
pub(super) use libraries::{PLACE, binds as libraries};
