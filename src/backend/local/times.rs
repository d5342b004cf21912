//! The name of this engine and of its variable, and how long its steps may take.

use std::path::Path;
use std::time::Duration;

use crate::files::ForeignFile;
use crate::worker::{PLAN_FILE, Plan};

/// The name of this engine.
pub(in crate::backend) const ENGINE: &str = "local";

/// The variable in which a task of an array finds its number.
pub(super) const TASK: &str = "MOORLINE_LOCAL_TASK";

/// How long a supervisor may take to begin; it refuses to begin later.
pub(super) const TAKE_OVER: Duration = Duration::from_secs(30);
/// Between TERM and KILL, when the job wants no more.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// What the backend's grace has more than the program's.
const MARGIN: Duration = Duration::from_secs(2);
/// Larger plans are no worker's.
const MOST_PLAN_BYTES: u64 = 64 << 20;
/// After KILL; only a process in an uninterruptible call lasts longer.
pub(super) const LAST: Duration = Duration::from_secs(10);

/// How long the job's processes may take to end: a little longer than the worker gives its program, so that the
/// receipt is still written.
pub(super) fn grace_of(dir: &Path) -> Duration {
    let path = dir.join("control").join(PLAN_FILE);
    let plan = ForeignFile::own(MOST_PLAN_BYTES).bytes(&path).ok();
    // without a plan there is no worker that could need it
    let plan = plan.and_then(|bytes| Plan::parse(&bytes).ok());
    let own = plan.and_then(|plan| plan.job.terms.grace);
    own.map_or(GRACE, |seconds| GRACE.max(Duration::from_secs(u64::from(seconds)) + MARGIN))
}
