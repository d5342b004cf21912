//! udocker's own files, as users get them: looked at before they are kept, unpacked for a job. Anybody may have written
//! them.
//!
//! ```text
//! package    udocker-1.3.17-py2.py3-none-any.whl (PyPI)   udocker/**
//!            udocker-1.3.17.tar.gz (PyPI, the project)    udocker-1.3.17/udocker/**
//! engines    udocker-englib-1.2.11.tar.gz (the project)   udocker_dir/{bin,lib}/NAME; lib/VERSION
//! ```
//!
//! Nothing else of them is read. Everything is bounded, a name with `..`, an absolute one, and one that stands twice are
//! refused, and a link of the engines leads to a name in its own directory. Source: udocker 1.3.17, `tools.py`,
//! `utils/make_udockertar.sh` and `utils/build_tarball.sh`.

mod engines;
mod error;
mod members;
mod package;

pub use engines::{Engines, FAKECHROOT, MOST_ENGINES_BYTES};
pub use error::UdockerError;
pub use package::{MOST_PACKAGE_BYTES, Package};

#[cfg(test)]
mod tests;
