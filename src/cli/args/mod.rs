//! Arguments that several verbs share.

pub mod credential_args;
pub mod files_args;
pub mod foreign_words;
pub mod from_gitlab;
pub mod host_path;
pub mod id_file;
pub mod spec;
