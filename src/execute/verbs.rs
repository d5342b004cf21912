//! The first arguments of this program that mean one of its own processes; `early.rs` runs them.

/// The hidden verb of the process that makes a container's namespaces.
pub(super) const BETWEEN: &str = "container-between";
/// Its word for a network namespace of the container's own.
pub(super) const ALONE: &str = "--alone";
/// The hidden verb of the leader above an installed runtime.
pub(super) const LEADER: &str = "session-leader";
/// The hidden verb of the process that becomes the program.
pub(super) const STARTER: &str = "session-starter";
/// The hidden verb of the container's first process.
pub(super) const INSIDE: &str = "container-inside";
/// The hidden verb that runs a program which gets HUP when its parent ends, and ignores every other signal
/// that is meant for a job: an engine that tells all its processes must not take the root file system
/// away from a program that tidies up or writes a checkpoint.
pub(super) const DIE_WITH_PARENT: &str = "die-with-parent";
/// The hidden verb of the process that serves an image to its container.
pub(super) const SERVE: &str = "image-server";
/// The hidden verb that tries to make a container.
pub(super) const PROBE: &str = "container-probe";
/// Behind it: only the namespaces are tried.
pub(super) const NAMESPACES: &str = "namespaces";
/// The worker's verb.
pub(super) const WORKER: &str = "worker";
/// The flag of a worker that ends its job, as for a TERM, when the process that started it is gone.
pub(super) const WITH_PARENT: &str = "--with-parent";
/// The hidden verb that answers questions about file systems (asker.rs).
pub(super) const ASK: &str = "container-ask";
/// The flag of one that gives up its capabilities first.
pub(super) const PLAIN: &str = "--plain";
/// The hidden verb of the process that pulls an image for a worker; the command line has it, since it needs HTTP.
pub(super) const PULL: &str = "worker-pull";
