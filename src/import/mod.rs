//! Jobs of other tools, read into job files (`submit -f`).
//!
//! ```text
//!  Python text --python--> objects: Job(application=Executable(...), ...)   parsed, never executed
//!              --ganga---> a job file's text, notes about what was left out, a token apart from both
//! ```
//!
//! Floor 3, pure: text in, text out. A new tool is one folder here and one verb below `import`. We read Python with
//! code of our own. The crate rustpython-parser has had no release since 2024. Its successor, a fork of ruff's parser,
//! reads the whole language and brings large tables of Unicode names; a job needs only assignments and constructor
//! calls.

mod error;
pub mod ganga;
pub mod python;

pub use error::ImportError;
