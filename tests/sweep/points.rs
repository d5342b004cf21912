//! The places of a command where a fault can strike, read from a trace of it; and striking.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use crate::place::Place;
use crate::support::program;

/// The calls that write, make, name, remove or make durable.
const CALLS: &str = "?open,openat,?creat,write,writev,pwrite64,pwritev,copy_file_range,sendfile,\
    fsync,fdatasync,sync_file_range,?rename,?renameat,renameat2,?link,linkat,?symlink,symlinkat,\
    ?unlink,unlinkat,?rmdir,?mkdir,mkdirat,ftruncate,fallocate,close,utimensat,?chmod,fchmod,fchmodat";

/// What happens at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Error(&'static str, bool),
}

const FAULTS: [Fault; 5] = [
    Fault::Kill,
    Fault::Error("EIO", false),
    Fault::Error("ENOSPC", false),
    Fault::Error("EIO", true),
    Fault::Error("ENOSPC", true),
];

/// A fault at a place.
#[derive(Clone, Debug)]
pub struct Point {
    call: String,
    number: usize,
    fault: Fault,
    /// How often all points were taken before.
    pub round: usize,
}

impl Point {
    pub fn is_kill(&self) -> bool {
        self.fault == Fault::Kill
    }

    /// Whether the command can still say what happened to it: persistent faults of `write` hit its
    /// error as well.
    pub fn leaves_a_voice(&self) -> bool {
        !(matches!(self.fault, Fault::Error(_, true)) && self.call.starts_with("write"))
    }

    pub fn in_round(&self, round: usize) -> Self {
        Self { round, ..self.clone() }
    }

    fn injection(&self) -> String {
        let Self { call, number, .. } = self;
        match self.fault {
            Fault::Kill => format!("inject={call}:signal=SIGKILL:when={number}"),
            Fault::Error(error, false) => format!("inject={call}:error={error}:when={number}"),
            Fault::Error(error, true) => format!("inject={call}:error={error}:when={number}+"),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (round {})", self.injection(), self.round)
    }
}

/// How the struck command ended.
#[derive(Debug)]
pub struct Struck {
    /// The fault found its call.
    pub fired: bool,
    pub killed: bool,
    pub code: Option<i32>,
    pub text: String,
    pub has_voice: bool,
}

/// Every point of a command: the calls that have something to do with the place's own directory.
pub fn points(place: &Place, args: &[String]) -> Vec<Point> {
    let log = place.path("trace");
    let trace = format!("trace={CALLS}");
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let before =
        ["strace", "-f", "-y", "-qq", "-s", "0", "-o", log.to_str().unwrap(), "-e", &trace];
    let output = place.command_behind(&before, &words).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&log).unwrap();
    fs::remove_file(&log).unwrap();
    found(&text, place.dir.path())
        .into_iter()
        .flat_map(|(call, number)| {
            FAULTS.map(|fault| Point { call: call.clone(), number, fault, round: 0 })
        })
        .collect()
}

/// The calls of a trace that name something in `dir`, each with its number in its thread: that is how
/// strace counts for `when=`.
fn found(trace: &str, dir: &Path) -> BTreeSet<(String, usize)> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut places = BTreeSet::new();
    let dir = dir.to_str().unwrap();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, arguments)) = rest.trim_start().split_once('(') else { continue };
        if call.contains(' ') || call.starts_with('<') {
            continue;
        }
        let number = counts.entry((thread, call)).or_default();
        *number += 1;
        let opens = ["open", "openat", "creat"].contains(&call);
        let writes = !opens || ["O_CREAT", "O_TMPFILE"].iter().any(|flag| arguments.contains(flag));
        if writes && arguments.contains(dir) && !arguments.contains("/image/") {
            places.insert((call.to_owned(), *number));
        }
    }
    places
}

/// Runs the command with the fault at the point.
pub fn strike(place: &Place, args: &[String], point: &Point) -> Struck {
    let log = place.path("trace");
    let inject = point.injection();
    let trace = format!("trace={}", point.call);
    let before = [
        "strace",
        "-f",
        "-qq",
        "-s",
        "0",
        "-o",
        log.to_str().unwrap(),
        "-e",
        &trace,
        "-e",
        &inject,
    ];
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = place.command_behind(&before, &words).output().unwrap();
    let trace = fs::read_to_string(&log).unwrap();
    fs::remove_file(&log).unwrap();
    let killed = output.status.signal() == Some(9);
    let fired = killed || trace.contains("(INJECTED)");
    let text = format!(
        "{} {args:?}\n{}\n{}{}",
        program().display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let has_voice = point.leaves_a_voice();
    Struck { fired, killed, code: output.status.code(), text, has_voice }
}

#[test]
fn places_are_counted_as_strace_counts_them() {
    let trace = "\
10 openat(AT_FDCWD</x>, \"/etc/passwd\", O_RDONLY) = 3</etc/passwd>\n\
10 openat(AT_FDCWD</x>, \"/d/tmp/a\", O_WRONLY|O_CREAT, 0600) = 3</d/tmp/a>\n\
11 write(3</d/tmp/a>, \"\"..., 5 <unfinished ...>\n\
10 write(1<pipe:[1]>, \"\"..., 5) = 5\n\
11 <... write resumed>) = 5\n\
10 write(3</d/tmp/a>, \"\"..., 5) = 5\n\
10 close(3</d/tmp/a>) = 0\n\
10 +++ exited with 0 +++\n";
    let places: Vec<(String, usize)> = found(trace, Path::new("/d")).into_iter().collect();
    let expected = [("close", 1), ("openat", 2), ("write", 1), ("write", 2)];
    assert_eq!(places, expected.map(|(call, number)| (call.to_owned(), number)));
}
