#!/usr/bin/env python3
"""Runs a command as on a kernel that lacks the newer calls for mounts.

    old-kernel.py CMD...

A seccomp filter, which every process below inherits, answers ENOSYS to openat2, mount_setattr, open_tree,
move_mount, fsopen and statx: what Linux 4.18 would say. It is simulated for these calls only; the rest of
the kernel is this machine's. Root sets the filter without no_new_privs, so that set-user-id programs work.
"""

import ctypes
import errno
import os
import signal
import platform
import struct
import sys

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
STATX = {"x86_64": 332, "aarch64": 291}
# the same on all architectures since 5.1
OPEN_TREE, MOVE_MOUNT, FSOPEN, OPENAT2, MOUNT_SETATTR = 428, 429, 430, 437, 442
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, JUMP_IF, RETURN = 0x20, 0x15, 0x06


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def main():
    machine = platform.machine()
    if machine not in AUDIT_ARCH:
        sys.exit(f"SKIPPED: old-kernel: no numbers of calls for {machine}")
    calls = [OPEN_TREE, MOVE_MOUNT, FSOPEN, OPENAT2, MOUNT_SETATTR, STATX[machine]]
    lines = [(LOAD, 0, 0, 4), (JUMP_IF, 0, len(calls) + 1, AUDIT_ARCH[machine]), (LOAD, 0, 0, 0)]
    lines += [(JUMP_IF, len(calls) - at, 0, call) for at, call in enumerate(calls)]
    lines += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ERRNO | errno.ENOSYS)]
    # the jump for another architecture lands on ALLOW
    text = b"".join(struct.pack("HBBI", *line) for line in lines)
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(lines), text)
    if os.geteuid() != 0:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        sys.exit(f"old-kernel: {os.strerror(ctypes.get_errno())}")
    # a filter that does nothing would prove nothing
    if libc.syscall(OPENAT2, -1, 0, 0, 0) != -1 or ctypes.get_errno() != errno.ENOSYS:
        sys.exit("old-kernel: the filter does not work")
    # what Python ignores for itself is not the tests' business
    for name in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(name, signal.SIG_DFL)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
