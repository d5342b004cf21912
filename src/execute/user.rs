//! Who runs this worker, for its receipt.
//!
//! The name may come from a directory server (nsswitch.conf(5)) that does not answer. So it is asked for beside the
//! job, and a receipt never waits long for it.

use std::sync::mpsc::{Receiver, channel};
use std::thread::Builder;
use std::time::Duration;

use nix::unistd::{Uid, User};

use crate::worker::WorkerUser;

/// How long a receipt waits for an answer that is not there when the job has ended.
const LONG: Duration = Duration::from_secs(1);

/// A question that is on its way.
pub(super) struct Asked(Receiver<Option<String>>);

/// Asks; none where no thread can be started.
pub(super) fn ask() -> Option<Asked> {
    let (answer, asked) = channel();
    // nobody listens any more when the answer is late
    let ask = move || drop(answer.send(name()));
    Builder::new().spawn(ask).ok().map(|_| Asked(asked))
}

fn name() -> Option<String> {
    User::from_uid(Uid::current()).ok().flatten().map(|user| user.name)
}

/// This user, with its name if the answer came in time.
pub(super) fn said(asked: Option<Asked>) -> WorkerUser {
    let name = asked.or_else(ask).and_then(|Asked(answer)| answer.recv_timeout(LONG).ok()?);
    WorkerUser { uid: Uid::current().as_raw(), name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_does_not_wait_for_a_server_that_is_silent() {
        let (_answer, asked) = channel();
        assert_eq!(said(Some(Asked(asked))).name, None);
        let known = said(ask());
        assert_eq!(known.uid, Uid::current().as_raw());
        assert!(known.name.is_none() || known.name == name(), "{known:?}");
    }
}
