//! A filter of system calls for programs in our own container: the second wall before the caller's
//! terminal and keys.
//!
//! It answers EPERM to `ioctl` with `TIOCSTI` or `TIOCLINUX`, and to `add_key`, `request_key` and
//! `keyctl`, and leaves everything else alone: debuggers, `unshare -U`, programs of 32 bits. The number
//! of a call means something only together with the architecture of the caller, so each is looked at
//! with its own table. A value is compared by its low 32 bits, as the kernel does: with more of them a
//! program would get past (CVE-2019-10063).
//!
//! ```text
//! architecture -> table; number (without the bit of x32) -> ioctl: low half of the second argument
//!                                                        -> keyring calls
//! ```
//!
//! Source: seccomp(2), `linux/audit.h`, the kernel's `syscall_64.tbl`, `syscall_32.tbl`,
//! `asm-generic/unistd.h`. The crate `seccompiler` installs it; its own compiler kills other
//! architectures, and does not know x32.

use seccompiler::sock_filter;

use crate::job::CallFilter;

// linux/audit.h
const X86_64: u32 = 0xC000_003E;
const I386: u32 = 0x4000_0003;
const AARCH64: u32 = 0xC000_00B7;
const ARM: u32 = 0x4000_0028;

// asm-generic/ioctls.h; the same on all four
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541C;

/// The bit that a call of x32 has.
const X32: u32 = 0x4000_0000;

/// What is looked at of one architecture: its numbers of `ioctl` and of the keyring calls.
struct Table {
    architecture: u32,
    /// Numbers may have the bit of x32.
    x32: bool,
    ioctl: &'static [u32],
    keys: [u32; 3],
}

const TABLES: [Table; 4] = [
    // 514 is ioctl of x32; old kernels take 16 with its bit, too
    Table { architecture: X86_64, x32: true, ioctl: &[16, 514], keys: [248, 249, 250] },
    Table { architecture: I386, x32: false, ioctl: &[54], keys: [286, 287, 288] },
    Table { architecture: AARCH64, x32: false, ioctl: &[29], keys: [217, 218, 219] },
    Table { architecture: ARM, x32: false, ioctl: &[54], keys: [309, 310, 311] },
];

// linux/seccomp.h and linux/bpf_common.h
const ALLOW: u32 = 0x7FFF_0000;
const ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = 1;
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`: number, architecture, and the low half of the second argument on a
/// little-endian machine, which all four are here.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const SECOND_LOW: u32 = 24;

fn step(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// Goes on with the next step when equal, else leaves `past` of them out.
fn when(k: u32, past: u8) -> sock_filter {
    sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf: past, k }
}

/// The program for the kernel.
fn program() -> Vec<sock_filter> {
    let refuse = || step(RETURN, ERRNO | EPERM);
    let allow = || step(RETURN, ALLOW);
    let mut all = vec![];
    for table in &TABLES {
        let mut body = vec![step(LOAD, NUMBER)];
        if table.x32 {
            body.push(step(AND, !X32));
        }
        for number in table.keys {
            body.extend([when(number, 1), refuse()]);
        }
        for number in table.ioctl {
            body.extend([
                when(*number, 6),
                step(LOAD, SECOND_LOW),
                when(TIOCSTI, 1),
                refuse(),
                when(TIOCLINUX, 1),
                refuse(),
                allow(),
            ]);
        }
        body.push(allow());
        all.push(step(LOAD, ARCHITECTURE));
        // a table has some thirty steps
        all.push(when(table.architecture, u8::try_from(body.len()).unwrap_or(u8::MAX)));
        all.extend(body);
    }
    all.push(allow());
    all
}

/// Puts the filter on this process and all that it starts. Sets `no_new_privs`.
///
/// # Errors
/// When the kernel has no filters.
pub(super) fn install() -> std::io::Result<()> {
    seccompiler::apply_filter(&program()).map_err(std::io::Error::other)
}

/// Whether a program is to run behind the filter here.
pub(super) fn wanted(choice: Option<CallFilter>) -> bool {
    match choice {
        Some(CallFilter::On) => true,
        Some(CallFilter::Off) => false,
        // what only a newer program knows is no reason to leave it out
        None | Some(CallFilter::Auto | CallFilter::Other(_)) => is_cheap(),
    }
}

/// Whether a filter costs nothing on this kernel. Before 5.16 every process with a filter gets the
/// mitigation of speculative store bypass, which slows it down.
fn is_cheap() -> bool {
    cheap(&rustix::system::uname().release().to_string_lossy())
}

fn cheap(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (5, 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel's interpreter would do.
    fn verdict(architecture: u32, number: u32, second: u64) -> u32 {
        let all = program();
        let (mut at, mut accumulator) = (0, 0_u32);
        loop {
            let step = &all[at];
            at += 1;
            match step.code {
                LOAD => {
                    accumulator = match step.k {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        SECOND_LOW => u32::try_from(second & 0xFFFF_FFFF).unwrap(),
                        other => panic!("offset {other}"),
                    }
                }
                AND => accumulator &= step.k,
                JUMP_IF_EQUAL => {
                    at += usize::from(if accumulator == step.k { step.jt } else { step.jf });
                }
                RETURN => return step.k,
                other => panic!("code {other}"),
            }
        }
    }

    #[test]
    fn only_these_calls_are_refused() {
        let (sti, linux, get) = (u64::from(TIOCSTI), u64::from(TIOCLINUX), 0x5401);
        let high = 0xDEAD_BEEF_0000_0000;
        let refused = ERRNO | EPERM;
        for (architecture, number, second, expected) in [
            (X86_64, 16, sti, refused),
            (X86_64, 16, sti | high, refused),
            (X86_64, 16, linux, refused),
            (X86_64, 16, get, ALLOW),
            (X86_64, 16 | X32, sti, refused),
            (X86_64, 0x202 | X32, sti | high, refused),
            (X86_64, 0x202 | X32, get, ALLOW),
            (X86_64, 248, 0, refused),
            (X86_64, 0xf9 | X32, 0, refused),
            (X86_64, 250, 0, refused),
            (X86_64, 54, sti, ALLOW),
            (X86_64, 0, sti, ALLOW),
            // unshare, ptrace, perf_event_open, clone
            (X86_64, 272, 0, ALLOW),
            (X86_64, 101, 0, ALLOW),
            (X86_64, 298, 0, ALLOW),
            (X86_64, 56, 0, ALLOW),
            (I386, 54, sti, refused),
            (I386, 54, linux, refused),
            (I386, 54, get, ALLOW),
            (I386, 286, 0, refused),
            (I386, 288, 0, refused),
            (I386, 16, sti, ALLOW),
            (I386, 250, 0, ALLOW),
            (AARCH64, 29, sti, refused),
            (AARCH64, 219, 0, refused),
            (AARCH64, 16, sti, ALLOW),
            (ARM, 54, sti, refused),
            (ARM, 311, 0, refused),
            (ARM, 29, sti, ALLOW),
            // another architecture is left alone
            (0x8000_0016, 54, sti, ALLOW),
        ] {
            let found = verdict(architecture, number, second);
            assert_eq!(found, expected, "{architecture:x} {number:x} {second:x}");
        }
    }

    #[test]
    fn kernels() {
        for (release, expected) in [
            ("6.1.0-18-amd64", true),
            ("5.16.0", true),
            ("5.15.0-91-generic", false),
            ("4.18.0-513.el8.x86_64", false),
            ("3.10.0", false),
            ("10.0", true),
            ("", false),
        ] {
            assert_eq!(cheap(release), expected, "{release}");
        }
    }
}
