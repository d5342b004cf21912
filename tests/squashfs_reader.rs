//! The reader of squashfs: what our writer and other programs write, and what nobody should.

#[path = "squashfs_reader/foreign.rs"]
mod foreign;
#[path = "squashfs_reader/hostile.rs"]
mod hostile;
#[allow(dead_code, reason = "each test program uses its part of it")]
#[path = "squashfs_reader/made.rs"]
mod made;
#[allow(dead_code, reason = "each test program uses its part of it")]
#[path = "convert/oracle.rs"]
mod oracle;
#[path = "squashfs_reader/own.rs"]
mod own;
