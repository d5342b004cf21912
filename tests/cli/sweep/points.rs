//! The places of a command where a fault can strike, read from a trace of it; and striking.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use crate::place::Place;
use crate::support::program;

/// The calls that write, make, name, remove or make durable.
const CALLS: &str = "?open,openat,?creat,write,writev,pwrite64,pwritev,copy_file_range,sendfile,\
    fsync,fdatasync,sync_file_range,?rename,?renameat,renameat2,?link,linkat,?symlink,symlinkat,\
    ?unlink,unlinkat,?rmdir,?mkdir,mkdirat,ftruncate,fallocate,close,utimensat,?chmod,fchmod,fchmodat";

/// Longer than any command takes, also one that waits for what does not come.
const AT_MOST: Duration = Duration::from_secs(180);

/// What happens at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Error(&'static str, Lasting),
}

/// How often a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    Once,
    /// This time and the next two: a server that is away for a moment.
    Thrice,
    /// From now on.
    Persistent,
}

/// A broken disk, a full one, a quota that is used up, a file server that started anew.
const ERRORS: [&str; 4] = ["EIO", "ENOSPC", "EDQUOT", "ESTALE"];
const LASTING: [Lasting; 3] = [Lasting::Once, Lasting::Persistent, Lasting::Thrice];

fn faults() -> impl Iterator<Item = Fault> {
    let errors =
        LASTING.into_iter().flat_map(|lasting| ERRORS.map(|error| Fault::Error(error, lasting)));
    std::iter::once(Fault::Kill).chain(errors)
}

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
    pub fn kill(call: &str, number: usize) -> Self {
        Self { call: call.into(), number, fault: Fault::Kill, round: 0 }
    }

    pub fn is_kill(&self) -> bool {
        self.fault == Fault::Kill
    }

    /// Whether the command can still say what happened to it: persistent faults of `write` hit its
    /// error as well.
    pub fn leaves_a_voice(&self) -> bool {
        // strace counts in each thread: the fault that is meant for the lease's thread may also strike
        // the first thread's first word, its error
        let strikes_words = match self.fault {
            Fault::Error(_, lasting) => lasting != Lasting::Once || self.number == 1,
            Fault::Kill => false,
        };
        !(strikes_words && self.call.starts_with("write"))
    }

    /// An error of `close`. Injected, it leaves the file open, as no kernel does: where processes wait
    /// for the ends of each other's pipes they would wait for ever.
    pub fn leaves_open(&self) -> bool {
        self.call == "close" && !self.is_kill()
    }

    pub fn in_round(&self, round: usize) -> Self {
        Self { round, ..self.clone() }
    }

    fn injection(&self) -> String {
        let Self { call, number, .. } = self;
        match self.fault {
            Fault::Kill => format!("inject={call}:signal=SIGKILL:when={number}"),
            Fault::Error(error, lasting) => {
                let until = match lasting {
                    Lasting::Once => String::new(),
                    Lasting::Thrice => format!("..{}", number + 2),
                    Lasting::Persistent => "+".into(),
                };
                format!("inject={call}:error={error}:when={number}{until}")
            }
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
    // 6: it found what was damaged
    let done = matches!(output.status.code(), Some(0 | 6));
    assert!(done, "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&log).unwrap();
    fs::remove_file(&log).unwrap();
    found(&text, place.dir.path())
        .into_iter()
        .flat_map(|(call, number)| {
            faults().map(move |fault| Point { call: call.clone(), number, fault, round: 0 })
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

/// Runs the command with the fault at the point, and `beside` while it runs.
pub fn strike(
    place: &Place,
    args: &[String],
    point: &Point,
    beside: impl FnOnce(&mut Child) -> Result<(), String>,
) -> Result<Struck, String> {
    let log = place.path("trace");
    let inject = point.injection();
    let trace = format!("trace={}", point.call);
    let before = [
        "strace",
        "-f",
        "-y",
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
    let mut child = place.command_behind(&before, &words).stdin(Stdio::null()).spawn().unwrap();
    let beside = beside(&mut child);
    let mut wakes = false;
    let output = ended(child, place.dir.path(), || {
        wakes = wakes || fs::read_to_string(&log).is_ok_and(|trace| strikes_a_wake(&trace));
        wakes
    });
    let trace = fs::read_to_string(&log).unwrap();
    let struck = || injected(&trace).collect::<Vec<_>>().join("\n");
    let output = output.map_err(|why| format!("{why}: {args:?}\n{}", struck()))?;
    beside?;
    fs::remove_file(&log).unwrap();
    // a thread's panic may end it sooner than anybody looks
    wakes = wakes || strikes_a_wake(&trace);
    let killed = wakes || output.status.signal() == Some(9);
    let fired = !wakes && (killed || trace.contains("(INJECTED)"));
    let text = format!(
        "{} {args:?}\n{}\n{}{}",
        program().display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let has_voice = point.leaves_a_voice() && !strikes_words(&trace);
    Ok(Struck { fired, killed, code: output.status.code(), text, has_voice })
}

/// The calls that were given an error, with what they were given for.
fn injected(trace: &str) -> impl Iterator<Item = &str> {
    trace.lines().enumerate().filter(|(_, line)| line.contains("(INJECTED)")).map(|(at, line)| {
        let thread = line.split(' ').next();
        let begun = |line: &&str| line.split(' ').next() == thread && line.contains("<unfinished");
        let resumed = line.contains(" resumed>");
        // what it was for stands where it began
        let began = || trace.lines().take(at).filter(begun).last();
        Some(line).filter(|_| !resumed).or_else(began).unwrap_or(line)
    })
}

/// Whether the error went to a thread that was to be woken: strace counts all calls of a thread, those too
/// that are no file's. No kernel answers so, and who waits for that thread would wait for ever.
fn strikes_a_wake(trace: &str) -> bool {
    injected(trace).any(|line| line.contains("anon_inode:[eventfd]"))
}

/// Whether the error went to what the command said.
fn strikes_words(trace: &str) -> bool {
    injected(trace).any(|line| line.contains("write(2<"))
}

/// Kills the processes whose command or environment names the place.
fn kill_those_of(dir: &Path) {
    let dir = dir.to_str().unwrap().as_bytes();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
        let words = [read("cmdline"), read("environ")].concat();
        if words.windows(dir.len()).any(|part| part == dir) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// What a command said that must end in time. When `stop` says so it is killed.
fn ended(mut child: Child, dir: &Path, mut stop: impl FnMut() -> bool) -> Result<Output, String> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            bytes
        })
    };
    let stdout = read(stdout.map(|pipe| Box::new(pipe) as _));
    let stderr = read(stderr.map(|pipe| Box::new(pipe) as _));
    let (deadline, mut looks) = (Instant::now() + AT_MOST, 1_u32);
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                // what it traced goes on without it
                kill_those_of(dir);
                return Err(format!("it does not end in {AT_MOST:?}"));
            }
            None if looks.is_multiple_of(20) && stop() => {
                kill_those_of(dir);
                break child.wait().unwrap();
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
        looks += 1;
    };
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    Ok(Output { status, stdout, stderr })
}

#[test]
fn an_error_for_who_is_woken_is_told_from_a_files() {
    let line = |file: &str, answer: &str| format!("7 write(4<{file}>, \"\"..., 8) = {answer}\n");
    let lost = "-1 EIO (Input/output error) (INJECTED)";
    assert!(strikes_a_wake(&line("anon_inode:[eventfd]", lost)));
    assert!(!strikes_a_wake(&line("/d/tmp/a", lost)));
    assert!(!strikes_a_wake(&line("anon_inode:[eventfd]", "8")));
    let said = "7 write(2<pipe:[1]>, \"\"..., 8) = ";
    assert!(strikes_words(&format!("{said}{lost}")) && !strikes_words(&format!("{said}8")));
    assert!(!strikes_words(&line("/d/tmp/a", lost)));
    // two threads at once
    let trace = format!(
        "7 write(4<anon_inode:[eventfd]>, \"\"..., 8 <unfinished ...>\n\
         8 write(2<pipe:[1]>, \"\"..., 8 <unfinished ...>\n\
         7 <... write resumed>)              = {lost}\n"
    );
    assert!(strikes_a_wake(&trace) && !strikes_words(&trace));
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
