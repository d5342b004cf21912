//! The worker's side: starts a server, hands it what the container mounted, and hears what it did.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::super::tree::Configured;
use super::order::{Go, Order, Said, Served};
use crate::execute::ExecuteError;
use crate::execute::talk::Talk;
use crate::execute::verbs::SERVE;
use crate::oci::TreeRoot;
use crate::runtime::builtin::Lacking;
use crate::sif::hash_tree::Counted;

/// How long a server may take to say what it did, once the container is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server; it ends when this is dropped.
pub(in crate::execute) struct Server {
    child: Child,
    talk: Talk,
    root: TreeRoot,
    lacking: Vec<Lacking>,
}

impl Server {
    /// Why no server could serve a container here, as far as it can be told before one is started.
    ///
    /// # Errors
    /// The reason, for a note.
    pub(in crate::execute) fn possible() -> Result<(), String> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        device.map(drop).map_err(|e| format!("/dev/fuse cannot be opened: {e}"))
    }

    /// Starts one for a SIF.
    ///
    /// # Errors
    /// When no process can be started.
    pub(in crate::execute) fn start(
        sif: &File,
        root: TreeRoot,
        limits: &Configured,
    ) -> Result<Self, ExecuteError> {
        let io = ExecuteError::io;
        let (mut talk, other) = Talk::pair().map_err(io("making a socket"))?;
        let child = Command::new("/proc/self/exe")
            .arg(SERVE)
            .env_clear()
            .current_dir("/")
            .stdin(other)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // what an engine or a terminal tells a whole group is not meant for it
            .process_group(0)
            .spawn()
            .map_err(|e| ExecuteError::starting("starting the image's server", e))?;
        let order = Order { root, limits: limits.clone() };
        let handed = talk.hand(sif.as_fd(), &order);
        let server = Self { child, talk, root, lacking: Vec::new() };
        handed.map_err(io("handing the image to its server"))?;
        Ok(server)
    }

    /// What it is to show besides the image, from its start on.
    pub(in crate::execute) fn shows(&mut self, lacking: Vec<Lacking>) {
        self.lacking = lacking;
    }

    /// Hands over what the container mounted; this process keeps no copy.
    ///
    /// # Errors
    /// When the server is gone.
    pub(in crate::execute) fn serve(&mut self, device: OwnedFd) -> Result<(), ExecuteError> {
        let go = Go { lacking: std::mem::take(&mut self.lacking) };
        let handed = self.talk.hand(device.as_fd(), &go);
        drop(device);
        handed.map_err(ExecuteError::io("handing /dev/fuse to the image's server"))
    }

    /// Becomes readable when a block was refused, or the server is gone.
    ///
    /// # Errors
    /// When the handle cannot be duplicated.
    pub(in crate::execute) fn alarm(&self) -> Result<OwnedFd, ExecuteError> {
        self.talk.handle().try_clone_to_owned().map_err(ExecuteError::io("duplicating a handle"))
    }

    /// What it did, once the container is gone.
    pub(in crate::execute) fn finish(mut self) -> Served {
        let mut served = Served { root: self.root, counted: None, trouble: None };
        let deadline = Instant::now() + PATIENCE;
        while self.is_readable(deadline) {
            let Ok((all, open)) = self.talk.arrived::<Said>() else { break };
            for said in all {
                if let Said::Done { read, refused, failed, trouble } = said {
                    served.counted = Some(Counted { read, refused, failed });
                    served.trouble = trouble;
                }
            }
            if !open || served.counted.is_some() {
                break;
            }
        }
        served
    }

    fn is_readable(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok();
        let mut one = [PollFd::from_borrowed_fd(self.talk.handle(), PollFlags::IN)];
        loop {
            match rustix::event::poll(&mut one, timeout.as_ref()) {
                Ok(ready) => return ready > 0,
                Err(rustix::io::Errno::INTR) if Instant::now() < deadline => {}
                Err(_) => return false,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // it has said what it did, or never will
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("root", &self.root).finish_non_exhaustive()
    }
}
