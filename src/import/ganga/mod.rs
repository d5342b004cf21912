//! A Ganga job as a job file: what its user guide promises, in Moorline's words.
//!
//! | Ganga | job file |
//! |---|---|
//! | `name` | `name` |
//! | `Executable(exe="x", args=[..], env={..})` | `command`, `env` |
//! | `exe=File("run.sh")`, `LocalFile` | `exe = "run.sh"`, and `command` are its arguments |
//! | `Docker("image")`, `Singularity("docker://..")` | `image`, Docker Hub spelled out: Ganga's default registry |
//! | `SharedFile("x.sif", locations=[..])`, `LocalFile` | `image = "/path/x.sif"` |
//! | `DiracFile(lfn=..)` | `image = "lfn:.."` |
//! | `mounts={"/a": "/b"}` | `mount = ["/a:/b"]` |
//! | `options=[..]` of Singularity | `option`, with `runtime = "apptainer"` |
//! | `inputfiles=[LocalFile("cuts.json")]` | `input = ["cuts.json"]` |
//! | `outputfiles=[LocalFile("*.root")]` | `output = ["*.root"]` |
//! | `tokenuser`, `tokenpassword` | neither: a login's business, see [`Token`] |
//! | `Local()`, `PBS(queue=..)`, ... | `backend`, `queue` |
//!
//! What has no counterpart is left out with a note. Source: Ganga 8.6.0, user guide, "Virtualization" and
//! "Working with jobs".

mod file;
mod job;

pub use file::write;
pub use job::{Image, Job, Program, Token, read};
