//! The command line as scripts see it: help texts, bad input, progress, `--quiet`, `--json`, `resolve`.
//!
//! Every bad input ends with its documented exit code and one error that says what, where and what
//! to try, and leaves no file behind.

#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/barred.rs"]
mod barred;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/liar.rs"]
mod liar;
#[path = "cli/limits.rs"]
mod limits;
#[path = "cli/manners.rs"]
mod manners;
#[path = "cli/newer.rs"]
mod newer;
#[path = "store/place.rs"]
mod place;
#[path = "cli/progress.rs"]
mod progress;
#[path = "cli/push.rs"]
mod push;
#[path = "cli/resolve.rs"]
mod resolve;
#[path = "cli/reuse.rs"]
mod reuse;
mod support;
