//! The server's process: takes the SIF and its order, then the handle of `/dev/fuse`, and answers until the mount is
//! gone. It is this very program again, so that a fault in it takes nothing else with it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use fuser::{Config, Session, SessionACL};
use rustix::process::Signal;

use super::answers::Answers;
use super::kernel::{Kernel, Watch};
use super::order::{Go, Order, Said};
use crate::execute::failed::{Failed, at};
use crate::execute::inside::privileges;
use crate::execute::signals::{Ears, STOPPING};
use crate::execute::talk::Talk;
use crate::sif::hash_tree::Sealed;
use crate::squashfs::read::{Image, Limits};

/// Threads that answer: more than two where the processor has more.
const THREADS: std::ops::RangeInclusive<usize> = 2..=8;

/// The main function of the process; returns its exit code. Why it failed is not said: whoever started it
/// sees that it ended, and the container's mount says what it could not do.
pub(in crate::execute) fn main() -> i32 {
    // a request that nobody answers would hang the program: it gets an error when this process is gone
    std::panic::set_hook(Box::new(|_| std::process::abort()));
    i32::from(serve().is_err())
}

fn serve() -> Result<(), Failed> {
    // with the worker, and of nothing that is meant for the program
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at("prctl"))?;
    let _ears = Ears::open(&STOPPING).map_err(at("installing a signal handler"))?;
    let mut talk = Talk::from_stdin().map_err(at("taking the socket"))?;
    let (sif, order): (OwnedFd, Order) = talk.take().map_err(at("hearing the worker"))?;
    // it reads what anybody may have written, and needs nothing but its two handles
    privileges::drop_own()?;
    let image = open(File::from(sif), &order)?;
    let (device, Go { lacking }) = talk.take().map_err(at("hearing the worker"))?;
    let talk = Arc::new(Mutex::new(talk));
    let say = |talk: &Mutex<Talk>, said: &Said| {
        // a worker that is gone takes this process with it
        let _ = talk.lock().unwrap_or_else(PoisonError::into_inner).say(said);
    };
    let watch = Watch::new({
        let talk = Arc::clone(&talk);
        move || say(&talk, &Said::Refused)
    });
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(threads.clamp(*THREADS.start(), *THREADS.end()));
    let served = match Answers::new(image, &lacking) {
        Ok(answers) => {
            let kernel = Kernel::new(answers, Arc::clone(&watch));
            let session = Session::from_fd(kernel, device, SessionACL::All, config);
            session.and_then(Session::run).map_err(at("serving the image"))?;
            Ok(())
        }
        Err(error) => {
            watch.heard(&error, image.source().counted());
            Err(Failed(format!("reading the image: {error}")))
        }
    };
    let counted = image.source().counted();
    say(
        &talk,
        &Said::Done {
            read: counted.read,
            refused: counted.refused,
            failed: counted.failed,
            trouble: watch.trouble(),
        },
    );
    served
}

type Source = crate::sif::hash_tree::Checked<File>;

/// It lives as long as the process.
fn open(sif: File, order: &Order) -> Result<&'static Image<Source>, Failed> {
    let wrong = |why: String| Failed(format!("opening the image: {why}"));
    let length = sif.metadata().map_err(at("opening the image"))?.len();
    let sealed = Sealed::open(&sif, length, order.root).map_err(|e| wrong(e.to_string()))?;
    let mut limits = Limits::default();
    for (name, value) in &order.limits {
        limits.set(name, *value);
    }
    let size = sealed.partition().size;
    let image = Image::open(sealed.checked(sif), 0, size, limits);
    Ok(Box::leak(Box::new(image.map_err(|e| wrong(e.to_string()))?)))
}
