//! The demo: the whole line on this machine, told step by step.
//!
//! It makes a small image out of the machine's own files, serves it from the registry stand-in on
//! loopback, and then only runs `moorline` commands (`shell.rs`) and looks at their answers. No
//! root, no container software and no network are needed.
//!
//! Where user namespaces are refused the job cannot be isolated by Moorline itself: an installed
//! apptainer is used through the ordinary verbs, else podman or docker by the demo itself
//! (`containers.rs`), and with none of them the program is started through its own loader
//! (`unisolated.rs`), which is called *not isolated*. Nobody measures what these two run: their
//! verdict is *Unproven* (`record.rs`), and only the demo does it.

pub mod containers;
mod error;
mod expect;
pub mod image;
mod isolation;
mod record;
mod shell;
mod story;
mod unisolated;

pub use error::DemoError;
use error::io;
use expect::{contains, same};
pub use isolation::{Isolation, Options};
pub use shell::{Scene, Shell};
pub use story::{PROJECT, Told, run};
