//! What is printed, and how: text, tables, colours, JSON, progress, errors, exit codes.
//!
//! ```text
//!  verb --> document   one JSON document            --> output --> stdout
//!       --> table      columns that fit (shorten)   -->
//!       --> record     one thing, a line for a fact -->
//!       --> output     lines, remarks, warnings     -->        --> stderr
//!       --> fault      errors and what to try       -->
//!       --> file       a text into a named file
//!                      paint: what a piece means; window: how wide, which colours
//! ```

pub mod document;
pub mod exit;
pub mod failed;
pub mod fault;
pub mod file;
pub mod interrupted;
pub mod output;
pub mod paint;
pub mod plural;
pub mod progress;
pub mod record;
pub mod shorten;
pub mod table;
pub mod terminal;
pub mod trace;
pub mod window;
