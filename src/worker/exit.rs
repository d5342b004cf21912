//! Exit codes of a job that are Moorline's, not the program's (contract, "Exit codes").

/// The image is not where it should be.
pub const IMAGE_MISSING: i32 = 210;
/// The image has other bytes than its digest says.
pub const IMAGE_MISMATCH: i32 = 211;
/// A required mount's source is missing on the worker.
pub const MOUNT_MISSING: i32 = 212;
/// No container runtime works on the worker.
pub const NO_RUNTIME: i32 = 213;
/// The runtime was there and did not start the program.
pub const RUNTIME_FAILED: i32 = 214;
/// The registry refused the pull.
pub const PULL_DENIED: i32 = 215;
/// The pull failed otherwise.
pub const PULL_FAILED: i32 = 216;
/// The worker's disk is full.
pub const NO_SPACE: i32 = 217;
/// A limit killed the program.
pub const LIMIT: i32 = 218;
/// Not the submission on record: a duplicate that an engine took without saying so.
pub const DUPLICATE: i32 = 219;

/// What a code means, for people; `None` for a program's own code.
#[must_use]
pub fn meaning(code: i32) -> Option<&'static str> {
    Some(match code {
        IMAGE_MISSING => "the image was not there",
        IMAGE_MISMATCH => "the image, or the evidence for it, is not what the job asked for",
        MOUNT_MISSING => "a required mount was missing",
        NO_RUNTIME => "no container runtime worked on the worker",
        RUNTIME_FAILED => "the container runtime did not start the program",
        PULL_DENIED => "the registry refused the pull",
        PULL_FAILED => "the pull failed",
        NO_SPACE => "no space was left on the worker",
        LIMIT => "a limit killed the program",
        DUPLICATE => "it is not the submission on record: its program was not started",
        _ => return None,
    })
}
