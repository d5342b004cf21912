//! The reader of squashfs: what our writer and other programs write, and what nobody should.

#[path = "squashfs/foreign.rs"]
mod foreign;
#[path = "squashfs/hostile.rs"]
mod hostile;
#[allow(dead_code, reason = "each test program uses its part of it")]
#[path = "squashfs/made.rs"]
mod made;
#[allow(dead_code, reason = "each test program uses its part of it")]
#[path = "convert/oracle.rs"]
mod oracle;
#[path = "squashfs/own.rs"]
mod own;
