//! What is printed, and how: text, JSON, progress, errors, exit codes.

pub mod exit;
pub mod failed;
pub mod interrupted;
pub mod output;
pub mod progress;
pub mod terminal;
pub mod trace;
