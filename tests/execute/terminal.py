#!/usr/bin/env python3
"""Plays a session on a real pseudo-terminal and compares what is seen.

    terminal.py CASE WORK -- COMMAND...

COMMAND starts a job whose /work_dir is WORK on this machine; each case below says what the job's program
is (tests/execute/terminal.rs). Ends with 0 when everything was as expected; else prints the transcript.
"""

import fcntl
import os
import pty
import select
import shlex
import signal
import struct
import sys
import termios
import time

PATIENCE = 60


class Session:
    """A process on a pseudo-terminal of its own, as a session's leader."""

    def __init__(self, argv, env=None):
        self.seen = b""
        self.at = 0
        # the process starts when the terminal is as it shall find it, and was looked at
        gate, opener = os.pipe()
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.close(opener)
            os.read(gate, 1)
            os.environ.update(env or {})
            # as a login has them
            for number in (signal.SIGPIPE, signal.SIGTTOU, signal.SIGTTIN, signal.SIGTSTP):
                signal.signal(number, signal.SIG_DFL)
            os.execvp(argv[0], argv)
        self.resize(30, 100)
        self.before = self.settings()
        os.close(gate)
        os.close(opener)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def settings(self):
        return termios.tcgetattr(self.master)

    def pump(self, timeout=0.05):
        """Reads what is there; False at the end."""
        if not select.select([self.master], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)

    def expect(self, text):
        """Waits until the text comes after what was expected before."""
        text = text.encode()
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self.seen.find(text, self.at)
            if found >= 0:
                self.at = found + len(text)
                return
            if time.monotonic() > deadline or not self.pump():
                if self.seen.find(text, self.at) < 0:
                    raise AssertionError(f"{text!r} did not come; after {self.at}: {self.seen!r}")

    def until(self, what, why):
        deadline = time.monotonic() + PATIENCE
        while not what():
            if time.monotonic() > deadline:
                raise AssertionError(f"{why}: {self.seen!r}")
            self.pump()

    def send(self, data):
        data = data if isinstance(data, bytes) else data.encode()
        while data:
            # the other direction must not block this one
            _, writable, _ = select.select([], [self.master], [], 0.05)
            if writable:
                data = data[os.write(self.master, data[:1024]):]
            self.pump(0)

    def end(self):
        """Waits for the end: the exit code as a shell gives it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                # to the end of the terminal; where another process still has it open, until nothing came for long
                # (the kernel hands output on in its own time, which a busy machine has little of)
                quiet, had = time.monotonic(), len(self.seen)
                while self.pump(0.1) and time.monotonic() < quiet + 3:
                    if len(self.seen) > had:
                        quiet, had = time.monotonic(), len(self.seen)
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if time.monotonic() > deadline:
                raise AssertionError(f"it does not end: {self.seen!r}")
            self.pump()


def equal(found, expected, session):
    if found != expected:
        raise AssertionError(f"{found!r} is not {expected!r}: {session.seen!r}")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listed:
        return [int(word) for word in listed.read().split()]


def shell():
    """An interactive shell with job control."""
    session = Session(["bash", "--norc", "--noprofile", "-i"], {"PS1": "PROMPT> ", "TERM": "dumb"})
    session.expect("PROMPT> ")
    # what is typed is echoed: expected texts are put together so that the echo is another
    return session


def settings_are_sane(session):
    session.send("stty -a | tr ' ' '\\n' | grep -x -e icanon -e echo -e isig -e opost | tr '\\n' _; echo 's'ane\n")
    session.expect("_sane")
    line = session.seen[:session.at].rsplit(b"\n", 1)[1]
    for word in (b"icanon", b"echo", b"isig", b"opost"):
        equal(word in line, True, session)
    equal(b"-" in line, False, session)


# ---- cases: the program is named in terminal.rs ---------------------------------------------------


def code(work, command):
    """The program says what its terminal is, writes to /dev/tty, and ends with 7."""
    session = Session(command)
    session.expect("terminals 0 1 2")
    session.expect("size 30 100")
    session.expect("through tty")
    equal(session.end(), 7, session)
    equal(session.settings(), session.before, session)


def interrupt(work, command):
    """Ctrl-C: the program is ended by INT, and nothing else is."""
    session = Session(command)
    session.expect("ready")
    session.until(lambda: not session.settings()[3] & termios.ICANON, "the terminal is not raw")
    session.send("\x03")
    equal(session.end(), 130, session)
    equal(session.settings(), session.before, session)


def quit_key(work, command):
    """Ctrl-\\ likewise."""
    session = Session(command)
    session.expect("ready")
    session.until(lambda: not session.settings()[3] & termios.ICANON, "the terminal is not raw")
    session.send("\x1c")
    equal(session.end(), 131, session)


def stop(work, command):
    """Ctrl-Z stops the whole job, the shell has its terminal back, fg goes on where it was."""
    session = shell()
    session.send(shlex.join(command) + "\n")
    session.expect("\nready")
    for _ in range(2):
        session.send("one\n")
        session.expect("got one")
        session.send("\x1a")
        session.expect("Stopped")
        session.expect("PROMPT> ")
        settings_are_sane(session)
        session.expect("PROMPT> ")
        session.send("fg\n")
    session.send("two\n")
    session.expect("got two")
    session.send("\x04")
    session.expect("PROMPT> ")
    session.send("echo 'co'de=$?\n")
    session.expect("code=5")
    settings_are_sane(session)
    session.send("exit\n")
    session.end()


def background(work, command):
    """A job that is continued in the background goes on, and leaves the terminal to the shell."""
    session = shell()
    session.send(shlex.join(command) + "\n")
    session.expect("\nready")
    session.send("\x1a")
    session.expect("Stopped")
    session.expect("PROMPT> ")
    session.send("bg\n")
    session.expect("PROMPT> ")
    settings_are_sane(session)
    session.send("fg\n")
    session.send("two\n")
    session.expect("got two")
    session.send("\x04")
    session.expect("PROMPT> ")
    session.send("echo 'co'de=$?\n")
    session.expect("code=5")
    session.send("exit\n")
    session.end()


def jobs(work, command):
    """A shell in the container has job control of its own; the outer one sees nothing of it."""
    session = shell()
    session.send(shlex.join(command) + "\n")
    session.expect("INNER> ")
    session.send("sleep 600\n")
    session.until(lambda: b"sleep 600\r\n" in session.seen[session.at:], "no echo")
    time.sleep(0.3)
    session.send("\x1a")
    session.expect("Stopped")
    session.expect("INNER> ")
    session.send("jobs; echo 'in'side\n")
    session.expect("sleep 600")
    session.expect("inside")
    session.expect("INNER> ")
    session.send("fg\n")
    session.expect("sleep 600")
    time.sleep(0.3)
    session.send("\x03")
    session.expect("INNER> ")
    session.send("exit 9\n")
    session.expect("PROMPT> ")
    session.send("echo 'co'de=$?\n")
    session.expect("code=9")
    settings_are_sane(session)
    session.send("exit\n")
    session.end()


def resize(work, command):
    """A new size reaches the program with its signal."""
    session = Session(command)
    session.expect("ready")
    session.resize(41, 123)
    session.expect("size 41 123")
    session.send("\x03")
    equal(session.end(), 130, session)


def paste(work, command):
    """100 kB arrive as they were sent, and come back as they were written. (The kernel may drop an echo, so there is none.)"""
    session = Session(command)
    session.expect("ready")
    text = b"".join(b"%06d %s\n" % (n, b"x" * 92) for n in range(1000))
    equal(len(text), 100_000, session)
    session.send(text)
    session.send("\x04")
    equal(session.end(), 0, session)
    with open(os.path.join(work, "pasted"), "rb") as pasted:
        arrived = pasted.read()
    if arrived != text:
        raise AssertionError(f"{len(arrived)} bytes of {len(text)} arrived")
    shown = session.seen.count(b"x" * 92)
    equal(shown, 1000, session)


def worker_of(pid):
    """The worker: the process itself, or, below `moorline run`, its child."""
    with open(f"/proc/{pid}/cmdline", "rb") as words:
        return pid if b"worker" in words.read().split(b"\0") else children(pid)[0]


def killed(work, command):
    """kill -9 of the worker's child: the settings are given back."""
    session = Session(command)
    session.expect("ready")
    session.until(lambda: not session.settings()[3] & termios.ICANON, "the terminal is not raw")
    os.kill(children(worker_of(session.pid))[-1], signal.SIGKILL)
    equal(session.end(), 137, session)
    equal(session.settings(), session.before, session)


def told(work, command):
    """TERM to the worker: the settings are given back."""
    session = Session(command)
    session.expect("ready")
    session.until(lambda: not session.settings()[3] & termios.ICANON, "the terminal is not raw")
    os.kill(session.pid, signal.SIGTERM)
    session.expect("tidied")
    equal(session.end(), 143, session)
    equal(session.settings(), session.before, session)


def handles(work, command):
    """Redirected handles pass unchanged, and there is no /dev/tty then."""
    session = shell()
    words = shlex.join(command)
    with open(os.path.join(work, "input"), "w", encoding="ascii") as out:
        out.write("a line of the file\n")
    for line, expected in [
        (f"{words} | cat", "0=tty 1=other 2=tty tty=none"),
        (f"{words} <{shlex.quote(work)}/input", "0=other 1=tty 2=tty tty=none"),
        (f"{words} 2>/dev/null", "0=tty 1=tty 2=other tty=opens"),
        (f"{words} </dev/null", "0=other 1=tty 2=tty tty=none"),
        (words, "0=tty 1=tty 2=tty tty=opens"),
    ]:
        session.send(line + "\n")
        session.expect(expected)
        session.expect("PROMPT> ")
        settings_are_sane(session)
        session.expect("PROMPT> ")
    session.send("exit\n")
    session.end()


def less(work, command):
    """A pager takes the keys while the job's output comes through a pipe."""
    session = shell()
    session.send(f"{shlex.join(command)} | TERM=xterm less\n")
    session.expect("line 20")
    session.send("G")
    session.expect("line 200")
    session.send("q")
    session.expect("PROMPT> ")
    settings_are_sane(session)
    session.send("exit\n")
    session.end()


CASES = {
    "code": code, "interrupt": interrupt, "quit": quit_key, "stop": stop, "background": background, "jobs": jobs,
    "resize": resize, "paste": paste, "killed": killed, "told": told, "handles": handles, "less": less,
}

if __name__ == "__main__":
    case, place, dashes, *rest = sys.argv[1:]
    assert dashes == "--"
    try:
        CASES[case](place, rest)
    except AssertionError as error:
        print(f"{case}: {error}", file=sys.stderr)
        sys.exit(1)
