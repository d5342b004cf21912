//! Numbers of things in a sentence, for the verbs.

pub use crate::text::plural;
