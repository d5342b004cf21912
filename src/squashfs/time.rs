//! Times as squashfs holds them.

/// Squashfs holds seconds in 32 bits: earlier and later times become the first and last of those.
pub(crate) fn clamp_time(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}
