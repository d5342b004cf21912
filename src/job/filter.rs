//! Whether programs in our own container run behind a filter of system calls.

use super::name::open_names;

open_names! {
    /// What a configuration says, and what a receipt says came of it.
    pub enum CallFilter {
        /// Where it costs nothing: from Linux 5.16 on.
        Auto = "auto",
        /// Always; where the kernel has no filters the job does not start.
        On = "on",
        /// Never.
        Off = "off",
    }
}
