//! The reader of squashfs: what our writer and other programs write, and what nobody should.

mod foreign;
mod hostile;
#[allow(dead_code, reason = "each test program uses its part of it")]
pub mod made;
mod own;
