//! Where things are kept: can store and ledger be written, is there room, and does the clock agree with that of
//! their file server?

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::Access;

use super::finding::{Finding, Health};
use super::surroundings::Surroundings;
use crate::failure::{Kind, Report};

/// Seconds by which a file's time may differ from the clock.
const MOST_OFF: u64 = 5;

/// The store, and the room that is left where it lies.
pub(super) fn store(here: &dyn Surroundings) -> Vec<Finding> {
    let store = match here.store() {
        Ok(store) => store,
        Err(Report(error)) => {
            return vec![Finding::problem("store", &*error, "set MOORLINE_CACHE to another place")];
        }
    };
    let root = here.cache_dir().display();
    let place = match store.unsuitable(false) {
        Some(why) => {
            Finding::note("store", format!("{root} {why}"), "set MOORLINE_CACHE to another place")
        }
        None => Finding::ok("store", root.to_string()),
    };
    let room = match here.tight(&store).first() {
        Some(said) => Finding::note("room", said, "moorline cache prune"),
        None => Finding::ok("room", "there is room where the store lies"),
    };
    vec![place, room]
}

pub(super) fn ledger(here: &dyn Surroundings) -> Finding {
    match here.ledger() {
        Ok(_) => Finding::ok("ledger", here.ledger_dir().display().to_string()),
        Err(Report(error)) => {
            Finding::problem("ledger", &*error, "set MOORLINE_LEDGER to another place")
        }
    }
}

/// Where jobs have their directories, which workers must see, too. It is made with the first job.
pub(super) fn jobs_dir(here: &dyn Surroundings) -> Finding {
    let dir = here.jobs_dir();
    let shown = dir.display();
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::ok("jobs_dir", shown.to_string()),
        Err(error) => Finding {
            what: "jobs_dir",
            health: Health::Problem(Kind::Configuration),
            said: format!("{shown}: {} cannot be written: {error}", there.display()),
            remedy: Some("write jobs_dir = \"DIR\" into ~/.config/moorline/config.toml".to_owned()),
        },
    }
}

/// The clock of a file server against this machine's.
pub(super) fn clock(dir: &Path) -> Option<Finding> {
    let file = tempfile::Builder::new().prefix(".clock-").tempfile_in(dir).ok()?;
    let (there, here) = (fs::metadata(file.path()).ok()?.modified().ok()?, SystemTime::now());
    let off = here.duration_since(there).unwrap_or_else(|error| error.duration()).as_secs();
    Some(if off <= MOST_OFF {
        Finding::ok("clock", "as the file system's")
    } else {
        Finding::note(
            "clock",
            format!("this machine's clock and that of {} differ by {off} s", dir.display()),
            "the ledger's order is by time: synchronise the clock (chrony, systemd-timesyncd)",
        )
    })
}
