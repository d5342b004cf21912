//! The command line as scripts see it: help texts, bad input, progress, `--quiet`, `--json`, `resolve`.
//!
//! Every bad input ends with its documented exit code and one error that says what, where and what
//! to try, and leaves no file behind.

mod bad_input;
mod bare;
mod barred;
mod book;
mod canary;
mod credentials;
mod doctor;
mod errors;
mod fetch;
mod gitlab;
mod handed;
mod help;
mod index;
mod inspect;
mod json;
mod liar;
mod limits;
mod manners;
mod merge;
mod newer;
mod place;
mod private;
mod progress;
mod pty;
mod push;
mod resolve;
mod reuse;
mod runtime;
mod shown;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod sweep;
mod words;
