//! A pseudo-terminal that looks like the caller's.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Termios, Winsize};

/// Both sides.
pub(in crate::execute) struct Pty {
    pub(super) master: OwnedFd,
    pub(super) slave: OwnedFd,
    name: PathBuf,
}

impl Pty {
    /// Makes one with these settings and this size. Reading and writing its master never block.
    ///
    /// # Errors
    /// When the machine has no pseudo-terminal left.
    pub(super) fn open(settings: &Termios, size: Winsize) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::unlockpt(&master)?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        // without a path where the kernel can (4.13): /dev/pts may be another instance
        let slave = match rustix::pty::ioctl_tiocgptpeer(&master, flags) {
            Ok(slave) => slave,
            Err(_) => rustix::fs::open(
                &name,
                OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
                Mode::empty(),
            )?,
        };
        rustix::termios::tcsetattr(&slave, OptionalActions::Now, settings)?;
        rustix::termios::tcsetwinsize(&slave, size)?;
        let now = rustix::fs::fcntl_getfl(&master)?;
        rustix::fs::fcntl_setfl(&master, now | OFlags::NONBLOCK)?;
        let name = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes())).to_owned();
        Ok(Self { master, slave, name })
    }

    /// Its path on the machine, `/dev/pts/N`.
    pub(in crate::execute) fn name(&self) -> &Path {
        &self.name
    }

    /// The program's side.
    ///
    /// # Errors
    /// When there is no handle left.
    pub(in crate::execute) fn slave(&self) -> io::Result<OwnedFd> {
        self.slave.try_clone()
    }
}
