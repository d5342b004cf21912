//! A pipe that the caller hands over on the command line: `-`, and `/dev/fd/63`, which is what a shell makes of
//! `<(command)`.
//!
//! It is the caller's own input, like the command line: the caller opened it, and it belongs to no other user. The
//! limit on the size holds. The command behind the pipe may take any time, so Moorline waits for it; Ctrl-C ends the
//! wait. A named pipe that somebody left in a directory has another name, and is refused.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// The number of the handle that a path names; `None` for any other path.
fn number(path: &Path) -> Option<u32> {
    let path = path.to_str()?;
    if matches!(path, "-" | "/dev/stdin") {
        return Some(0);
    }
    let digits = path.strip_prefix("/dev/fd/").or_else(|| path.strip_prefix("/proc/self/fd/"))?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The handle that a path names, opened once more; `None` when it is the path of something else.
pub(super) fn open(path: &Path) -> Option<io::Result<File>> {
    let number = number(path)?;
    if number == 0 {
        return Some(io::stdin().as_fd().try_clone_to_owned().map(File::from));
    }
    let open = || {
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(format!("/proc/self/fd/{number}"), flags, Mode::empty())?;
        // the handle is another one, and so is its flag: only the opening must not wait
        rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
        Ok(File::from(file))
    };
    Some(open())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_handles() {
        for (path, expected) in [
            ("-", Some(0)),
            ("/dev/stdin", Some(0)),
            ("/dev/fd/63", Some(63)),
            ("/proc/self/fd/11", Some(11)),
            ("./-", None),
            ("/dev/fd/", None),
            ("/dev/fd/6x", None),
            ("/dev/fd/../fd/3", None),
            ("/proc/7/fd/3", None),
            ("/tmp/pipe", None),
            ("/dev/fd/99999999999", None),
        ] {
            assert_eq!(number(Path::new(path)), expected, "{path}");
        }
    }
}
