//! The demo: the whole line on one machine, with an image made of the machine's own files.

pub mod image;
