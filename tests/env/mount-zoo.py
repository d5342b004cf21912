#!/usr/bin/env python3
"""Runs a command among the mounts that real machines have.

    mount-zoo.py CMD...          as root; exits as CMD does

In a mount namespace of its own it mounts what field reports name: systemd's file systems below /sys, an
automount whose daemon never answers, other users' closed directories, FUSE servers that are private or
dead, covered and stacked mounts, and names that are no text. Everything that has no fixed place lies below
/mnt/zoo (MOORLINE_TEST_ZOO for CMD). A piece that this kernel cannot make is said on stderr:

    SKIPPED: mount-zoo: PIECE: WHY

CMD has to work in it; nothing of it outlives CMD.
"""

import ctypes
import os
import shutil
import subprocess
import sys

ZOO = b"/mnt/zoo"
OTHER = 4242  # a user whom nobody here is
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 2, 4, 8, 32, 4096
MS_REC, MS_UNBINDABLE, MS_SHARED = 1 << 14, 1 << 17, 1 << 20
libc = ctypes.CDLL(None, use_errno=True)
keep = []  # handles and processes that a mount lives by


def mount(source, target, kind, flags=0, data=b""):
    source, target, kind, data = (x if isinstance(x, bytes) else x.encode() for x in (source, target, kind, data))
    if libc.mount(source, target, kind or None, ctypes.c_ulong(flags), data or None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(target[-200:]))


def place(name, mode=0o755, owner=0):
    """A directory of the zoo."""
    path = os.path.join(ZOO, name if isinstance(name, bytes) else name.encode())
    os.makedirs(path, exist_ok=True)
    os.chmod(path, mode)
    os.chown(path, owner, owner)
    return path


def systemd():
    """What systemd mounts below /sys; debugfs is 0700, so tracefs in it can be reached by root only."""
    for source, target, kind, data in [
        ("debugfs", "/sys/kernel/debug", "debugfs", "mode=700"),
        ("tracefs", "/sys/kernel/debug/tracing", "tracefs", ""),
        ("tracefs", "/sys/kernel/tracing", "tracefs", ""),
        ("configfs", "/sys/kernel/config", "configfs", ""),
        ("securityfs", "/sys/kernel/security", "securityfs", ""),
        ("bpf", "/sys/fs/bpf", "bpf", "mode=700"),
        ("pstore", "/sys/fs/pstore", "pstore", ""),
        ("efivarfs", "/sys/firmware/efi/efivars", "efivarfs", ""),
        ("fusectl", "/sys/fs/fuse/connections", "fusectl", ""),
    ]:
        yield kind, lambda s=source, t=target, k=kind, d=data: mount(s, t, k, MS_NOSUID | MS_NODEV | MS_NOEXEC, d)


def autofs(target):
    """An automount whose daemon never answers: who goes in waits for ever."""
    read, write = os.pipe()
    os.set_inheritable(write, True)
    keep.extend([read, write])
    # the daemon's own process group may pass; it is one that holds no process
    child = subprocess.Popen(["sleep", "infinity"], process_group=0)
    keep.append(child)
    data = f"fd={write},pgrp={child.pid},minproto=5,maxproto=5,direct"
    mount("systemd-1", target, "autofs", 0, data)


def dead_fuse(target, owner):
    """A FUSE server that never reads."""
    handle = os.open("/dev/fuse", os.O_RDWR)
    keep.append(handle)
    data = f"fd={handle},rootmode=40000,user_id={owner},group_id={owner}"
    mount("dead", target, "fuse", MS_NOSUID | MS_NODEV, data)


def squashfs_image():
    path = place("images") + b"/snap.squashfs"
    if not os.path.exists(path):
        tree = place("images/tree")
        with open(tree + b"/file", "w", encoding="utf-8") as out:
            out.write("snap\n")
        subprocess.run([b"mksquashfs", tree, path, b"-quiet", b"-no-progress"], check=True, stdout=subprocess.DEVNULL)
    return path


def snap():
    subprocess.run([b"mount", b"-t", b"squashfs", b"-o", b"loop,ro,nodev", squashfs_image(), place("snap/core/1")],
                   check=True, stderr=subprocess.DEVNULL)


def private_fuse():
    """A user's FUSE mount without allow_other: EACCES for everybody else, root included."""
    if not shutil.which("squashfuse"):
        raise OSError("squashfuse is not installed")
    target = place("home/other/mnt")
    child = subprocess.Popen([b"squashfuse", b"-f", squashfs_image(), target], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    keep.append(child)
    for _ in range(1000):
        if any(line.split(b" ")[4] == target for line in open("/proc/self/mountinfo", "rb")):
            return
        if child.poll() is not None:
            break
        subprocess.run(["sleep", "0.01"], check=True)
    raise OSError("squashfuse did not mount")


def docker():
    place("var/lib/docker", 0o700)
    for name in ("lower", "upper", "work", "merged"):
        place("var/lib/docker/overlay2/a/" + name)
    base = ZOO + b"/var/lib/docker/overlay2/a/"
    data = b"lowerdir=%slower,upperdir=%supper,workdir=%swork" % (base, base, base)
    mount("overlay", base + b"merged", "overlay", 0, data)
    # a network namespace, as docker keeps it
    place("run/docker/netns")
    point = ZOO + b"/run/docker/netns/default"
    open(point, "wb").close()
    mount("/proc/self/ns/net", point, "", MS_BIND)


def covered():
    mount("below", place("covered/by/parent"), "tmpfs")
    mount("above", place("covered/by"), "tmpfs")
    for number in range(3):
        mount(f"stacked{number}", place("stacked"), "tmpfs")
    mount("under", place("auto"), "tmpfs")
    mount("over", place("auto"), "tmpfs")
    mount("deep", place("auto/deep"), "tmpfs")


def names():
    for number, name in enumerate([b"with blank", b"new\nline", b"\xb1", b"back\\slash", b"tab\t", b"\\040"]):
        mount(b"source of " + name, place(b"names/" + name), "tmpfs")
        mount(b"", place(b"names/%d" % number), "tmpfs")


def long_path():
    here = ZOO + b"/long"
    os.mkdir(here)
    while len(here) < 3000:
        here = os.path.join(here, b"n" * 200)
        os.mkdir(here)
    mount("long", here, "tmpfs")


def closed():
    """Another user's runtime directory, and a mount inside a directory that nobody else may enter."""
    mount("tmpfs", place("run/user/%d" % OTHER), "tmpfs", MS_NOSUID | MS_NODEV, f"mode=700,uid={OTHER},gid={OTHER}")
    mount("inner", place("run/user/%d/doc" % OTHER), "tmpfs")
    mount("secret", place("closed/mount"), "tmpfs")
    place("closed", 0o700, OTHER)
    mount("noexec", place("noexec"), "tmpfs", MS_NOEXEC | MS_NOSUID)
    open(place("files") + b"/file", "wb").close()
    mount(ZOO + b"/files/file", ZOO + b"/files/file", "", MS_BIND)


def unbindable():
    target = place("unbindable")
    mount("unbindable", target, "tmpfs")
    mount("", target, "", MS_UNBINDABLE)
    # and one that nobody else can reach
    target = place("closed-unbindable/mount")
    mount("unbindable", target, "tmpfs")
    mount("", target, "", MS_UNBINDABLE)
    place("closed-unbindable", 0o700, OTHER)


PIECES = [
    *systemd(),
    ("autofs on binfmt_misc", lambda: autofs("/proc/sys/fs/binfmt_misc")),
    ("autofs", lambda: autofs(place("net"))),
    ("closed", closed),
    ("snap", snap),
    ("docker", docker),
    ("private FUSE", private_fuse),
    ("dead FUSE of another user", lambda: dead_fuse(place("home/other/dead"), OTHER)),
    ("dead FUSE of this user", lambda: dead_fuse(place("home/own/dead"), 0)),
    ("dead FUSE of nobody", lambda: dead_fuse(place("home/nobody/dead"), 65534)),
    ("covered and stacked", covered),
    ("names", names),
    ("long", long_path),
    ("unbindable", unbindable),
]


def main():
    if os.environ.get("MOORLINE_TEST_ZOO") is None:
        os.environ["MOORLINE_TEST_ZOO"] = os.fsdecode(ZOO)
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    mount("", "/", "", MS_REC | MS_SHARED)  # as systemd has it
    mount("zoo", "/mnt", "tmpfs", 0, "mode=755")
    for name, make in PIECES:
        try:
            make()
        except (OSError, subprocess.CalledProcessError) as why:
            print(f"SKIPPED: mount-zoo: {name}: {why}", file=sys.stderr, flush=True)
    code = subprocess.call(sys.argv[1:])
    for one in keep:
        if isinstance(one, subprocess.Popen):
            one.kill()
            one.wait()
        else:
            os.close(one)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
