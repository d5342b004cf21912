//! On which terms a job runs, beside its image, command and mounts. All have a default, so that a plan or
//! record that does not name one means what it always meant.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::name::open_names;
use super::{Grade, Tasks};
use crate::oci::Platform;

open_names! {
    /// Which network the program sees.
    pub enum Network {
        /// The machine's, abstract sockets included.
        Host = "host",
        /// One of its own with nothing but loopback.
        None = "none",
    }
}

open_names! {
    /// What becomes of the image's ENTRYPOINT.
    pub enum Entrypoint {
        /// It is started, and the command is its arguments, as docker has it.
        Image = "image",
        /// It stays out of a command's way.
        None = "none",
    }
}

/// The terms of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Its tasks; `None` means that it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Tasks>,
    /// How many of them run at once at most; `None` means as many as the engine likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<u32>,
    /// The network; `None` means the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// The submitter's umask, which the program gets; `None` means the worker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// The worst grade of evidence that the job may run with; `None` means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<Grade>,
    /// Files of the submitter that the job was made with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// Which files of the working directory are its output: patterns with `*`, `**`, `?` and `[...]`. They are
    /// hashed when it has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// Seconds between a signal that ends the program and KILL; `None` means the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<u32>,
    /// What the image is for, where no pin says it: of an image in an archive. The worker compares it with its
    /// processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Whether it gets a copy of the submitter's Kerberos tickets. They are in no document: they lie beside the
    /// plan until the job has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kerberos: bool,
    /// What becomes of the image's ENTRYPOINT; `None` means that it stays out of the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Entrypoint>,
    /// How much the program may write into the image, in MiB: in a layer that goes with the job. `None` means that
    /// it may write nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch_mib: Option<u64>,
    /// Whether it gets the machine's graphics processors and the files of their driver.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gpu: bool,
    /// Whether it gets a copy of the submitter's grid proxy, which is kept as the tickets are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proxy: bool,
    /// Whether it may ask the submitter's ssh agent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ssh_agent: bool,
}

impl Terms {
    /// Whether files that only the program may see lie beside the plan until the job has ended.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        self.kerberos || self.proxy
    }

    /// Whether the image's ENTRYPOINT is started with the command as its arguments.
    #[must_use]
    pub fn starts_entrypoint(&self) -> bool {
        self.entrypoint == Some(Entrypoint::Image)
    }
}

/// A file that is copied into the working directory when the job is submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Where the submitter has it.
    pub source: PathBuf,
    /// Its path below the working directory.
    pub name: PathBuf,
    /// Its bytes when it was submitted.
    pub sha256: crate::oci::Digest,
    /// Its size in bytes.
    pub size: u64,
}
