//! A mount through `squashfuse`, from the measured handle.
//!
//! The program gets the image as its standard input and opens `/proc/self/fd/0`, so that the path
//! plays no part. It stays in the foreground as a child, in a process group of its own, ignores TERM
//! and INT (an engine's or terminal's signal must not take the root file system away from a program
//! that tidies up), and unmounts and ends at HUP, which it gets when this process ends
//! (`DIE_WITH_PARENT` in `execute/early.rs`).

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::execute::find_program;
use crate::execute::measure::Measured;
use crate::execute::verbs::DIE_WITH_PARENT;
use crate::mountinfo::is_mount_point;
use crate::sif::Partition;

/// How long a mount may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A mounted image; the child ends when this is dropped.
#[derive(Debug)]
pub(super) struct Mounted {
    child: Child,
    point: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            // it unmounts and ends
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::HUP);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if is_mount_point(&self.point) {
            let _ = Command::new("fusermount")
                .args(["-u", "-z", "--"])
                .arg(&self.point)
                .stderr(Stdio::null())
                .status();
        }
    }
}

pub(super) fn mount(
    measured: &Measured,
    partition: Partition,
    point: &Path,
) -> Result<Mounted, String> {
    let program = find_program("squashfuse").ok_or("it is not installed")?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .map_err(|e| format!("/dev/fuse cannot be opened: {e}"))?;
    let image = measured.file.try_clone().map_err(|e| e.to_string())?;
    let child = Command::new("/proc/self/exe")
        .arg(DIE_WITH_PARENT)
        .arg(program)
        .args(["-f", "-o", &format!("ro,nosuid,nodev,offset={}", partition.offset)])
        .arg("/proc/self/fd/0")
        .arg(point)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(image)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut mounted = Mounted { child, point: point.to_owned() };
    let deadline = Instant::now() + PATIENCE;
    while !is_mount_point(point) {
        if let Ok(Some(status)) = mounted.child.try_wait() {
            let mut said = String::new();
            if let Some(mut stderr) = mounted.child.stderr.take() {
                let _ = stderr.read_to_string(&mut said);
            }
            return Err(format!("it ended with {status}: {}", said.trim()));
        }
        if Instant::now() > deadline {
            return Err(format!("it did not mount within {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(mounted)
}
