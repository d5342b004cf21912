//! Jobs of other tools, read into job files (`submit -f`).
//!
//! ```text
//!  Python text --python--> objects: Job(application=Executable(...), ...)   parsed, never executed
//!              --ganga---> a job file's text, notes about what was left out, a token apart from both
//! ```
//!
//! Floor 3, pure: text in, text out. A new tool is one folder here and one verb below `import`. Python is read by own
//! code: the crate rustpython-parser has had no release since 2024, and the fork of ruff's parser that replaces it
//! brings a whole language with its tables of Unicode names for what are assignments and constructor calls here.

mod error;
pub mod ganga;
pub mod python;

pub use error::ImportError;
