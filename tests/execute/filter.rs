//! The filter of system calls: what it refuses, and that it refuses nothing else.

use std::fs;
use std::process::Command;

use moorline::job::CallFilter;

use crate::support::*;

/// Ends with the error number of each call, one after the other. Without a library, so that it can be made
/// for 32 bits wherever there is a compiler.
const CALLS: &str = r#"
#if __i386__
static long call(long n, long a, long b, long c) {
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c) : "memory");
    return r;
}
enum { WRITE = 4, EXIT = 1, IOCTL = 54, KEYCTL = 288, ADD_KEY = 286, GETPID = 20 };
#define EXTRA
#elif __x86_64__
static long call(long n, long a, long b, long c) {
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}
enum { WRITE = 1, EXIT = 60, IOCTL = 16, KEYCTL = 250, ADD_KEY = 248, GETPID = 39 };
#define EXTRA                                                                                         \
    show("x32", call(0x40000000 | 514, 0, 0x5412, 0));                                                \
    show("high", call(IOCTL, 0, 0x100005412, 0));
#else
static long call(long n, long a, long b, long c) {
    register long x8 __asm__("x8") = n;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
}
enum { WRITE = 64, EXIT = 93, IOCTL = 29, KEYCTL = 219, ADD_KEY = 217, GETPID = 172 };
#define EXTRA show("high", call(IOCTL, 0, 0x100005412, 0));
#endif
static void show(const char *name, long result) {
    char line[64];
    int at = 0;
    while (*name) line[at++] = *name++;
    line[at++] = ' ';
    if (result >= 0) { line[at++] = 'o'; line[at++] = 'k'; }
    else { result = -result; if (result > 9) line[at++] = '0' + result / 10; line[at++] = '0' + result % 10; }
    line[at++] = '\n';
    call(WRITE, 1, (long)line, at);
}
void _start(void) {
    show("sti", call(IOCTL, 0, 0x5412, 0));
    show("linux", call(IOCTL, 0, 0x541C, 0));
    show("tcgets", call(IOCTL, 0, 0x5401, 0));
    show("keyctl", call(KEYCTL, 0, -3, 0));
    show("add_key", call(ADD_KEY, 0, 0, 0));
    show("getpid", call(GETPID, 0, 0, 0));
    EXTRA
    call(EXIT, 0, 0, 0);
}
"#;

/// Whether the program has a filter more than the tests themselves, which may run under one.
fn is_filtered(done: &Done) -> bool {
    let count = |status: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
        line.and_then(|number| number.trim().parse::<u32>().ok())
    };
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    match (count(&done.stdout), count(&own)) {
        (Some(program), Some(tests)) => program > tests,
        // before Linux 5.9
        _ => done.stdout.lines().any(|line| line == "Seccomp:\t2"),
    }
}

/// Whether this machine has the filter without being told to (kernel 5.16).
fn have_filter(test: &str) -> bool {
    let done = Job::new(User::Me, &["cat", "/proc/self/status"]).run();
    have("filter", test, is_filtered(&done))
}

#[test]
fn these_calls_are_refused_in_every_architecture() {
    let test = "filter::these_calls_are_refused_in_every_architecture";
    if !squashfs_tools(test) || !have("gcc", test, in_path("gcc")) || !have_filter(test) {
        return;
    }
    let native: &[&str] = &[];
    let mut kinds = vec![("native", native)];
    if cfg!(target_arch = "x86_64") {
        kinds.push(("i386", &["-m32"]));
    }
    for (kind, flags) in kinds {
        for user in users() {
            let job = Job::new(user, &["/work_dir/calls"]);
            fs::write(job.path("calls.c"), CALLS).unwrap();
            let built = Command::new("gcc")
                .args(flags)
                .args(["-nostdlib", "-static", "-ffreestanding", "-fno-pie", "-no-pie"])
                .args(["-fno-stack-protector", "-O1", "-w", "-o"])
                .arg(job.path("work/calls"))
                .arg(job.path("calls.c"))
                .output()
                .unwrap();
            let why = String::from_utf8_lossy(&built.stderr);
            if !have("gcc", &format!("{test}: {kind}: {why}"), built.status.success()) {
                continue;
            }
            job.give_away();
            let done = job.run();
            assert_eq!(done.code, 0, "{kind} {}", done.stderr);
            let expected = "sti 1\nlinux 1\ntcgets 25\nkeyctl 1\nadd_key 1\ngetpid ok\n";
            let (common, rest) = done.stdout.split_at(expected.len().min(done.stdout.len()));
            assert_eq!(common, expected, "{kind} {}", done.stdout);
            assert!(rest.lines().all(|line| line.ends_with(" 1")), "{kind} {rest}");
        }
    }
}

/// bubblewrap's issues about filters name what a filter breaks by accident.
#[test]
fn tools_still_work() {
    let test = "filter::tools_still_work";
    if !squashfs_tools(test) || !have_filter(test) {
        return;
    }
    for (tool, words) in [
        ("strace", &["strace", "-f", "-o", "/work_dir/trace", "sh", "-c", "cat /etc/passwd"][..]),
        (
            "gdb",
            &[
                "gdb",
                "-nx",
                "-batch",
                "-ex",
                "run",
                "-ex",
                "print 40+2",
                "--args",
                "cat",
                "/etc/passwd",
            ],
        ),
        ("perf", &["perf", "stat", "-e", "task-clock:u", "cat", "/etc/passwd"]),
        ("unshare", &["unshare", "-U", "cat", "/etc/passwd"]),
    ] {
        if !have(tool, test, in_path(tool)) {
            continue;
        }
        for user in users() {
            let mut job = Job::new(user, words).mount("/usr:/usr:ro");
            // the machine's programs need the machine's libraries
            let libraries = "LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu";
            job.plan.job.env.push(libraries.parse().unwrap());
            job.plan.job.env.push("PATH=/usr/bin:/bin".parse().unwrap());
            let done = job.run();
            if tool == "perf" && done.code != 0 {
                // as without a filter, where the machine says so
                let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
                skipped(test, &format!("perf: {} (paranoid {paranoid:?})", done.stderr.trim()));
                continue;
            }
            assert_eq!(done.code, 0, "{tool} {user:?}: {}{}", done.stdout, done.stderr);
            assert!(done.stdout.contains("root:x:0:0"), "{tool}: {}", done.stdout);
        }
    }
}

/// What the configuration says reaches the program, and the receipt says what came of it.
#[test]
fn the_configuration_decides_and_the_receipt_says_it() {
    let test = "filter::the_configuration_decides_and_the_receipt_says_it";
    if !squashfs_tools(test) {
        return;
    }
    for user in users() {
        for (choice, expected) in [
            (Some(CallFilter::Off), Some(false)),
            (Some(CallFilter::On), Some(true)),
            (Some(CallFilter::Auto), None),
            (None, None),
        ] {
            let mut job = Job::new(user, &["cat", "/proc/self/status"]);
            job.plan.filter = choice;
            let done = job.run();
            if choice == Some(CallFilter::On) && done.stderr.contains("installing the filter") {
                skipped(test, "this kernel has no filters");
                continue;
            }
            assert_eq!(done.code, 0, "{}", done.stderr);
            let filtered = is_filtered(&done);
            assert!(expected.is_none_or(|expected| expected == filtered), "{choice:?}");
            let said = done.receipt.unwrap().conditions.filter;
            assert_eq!(said, Some(if filtered { CallFilter::On } else { CallFilter::Off }));
        }
    }
}
