//! From a pin to an image that a runtime can start.

pub mod convert;
