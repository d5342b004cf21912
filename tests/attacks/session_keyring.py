"""A job reads a key of the login's session keyring, and opens it to others."""

import shlex
import shutil
import subprocess
import os

import lib

READER = r"""
#include <stdio.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    char text[256];
    long key = argc > 1 ? atol(argv[1]) : 0;
    /* KEYCTL_SEARCH 10, KEYCTL_READ 11, KEYCTL_SETPERM 5, KEYCTL_LINK 8 */
    long found = syscall(SYS_keyctl, 10, -3, "user", "moorline-attack", 0);
    if (found > 0) key = found;
    syscall(SYS_keyctl, 8, key, -2);
    long length = syscall(SYS_keyctl, 11, key, text, sizeof text - 1);
    if (length > 0 && length < 256) { text[length] = 0; printf("read %s\n", text); }
    if (syscall(SYS_keyctl, 5, key, 0x3f3f3f3fUL) == 0) puts("opened");
    puts("tried");
    return 0;
}
"""


def attack(case):
    """a job's session keyring is empty"""
    if not shutil.which("keyctl"):
        raise lib.Skip("keyctl (keyutils) is not installed")
    source = case.write("reader.c", READER)
    program = os.path.join(case.dir, "reader")
    built = subprocess.run(["gcc", "-static", "-o", program, source], capture_output=True, check=False)
    if built.returncode != 0:
        raise lib.Skip("gcc makes no program here")
    with open(program, "rb") as made:
        sif = case.sif(files=[("/opt/reader", made.read(), 0o755)])
    work = case.make("work")
    reached = []
    for runtime in ["builtin"] + [r for r in ("apptainer", "singularity") if shutil.which(r)]:
        # a session as a login makes it, with a secret
        line = (f"key=$(keyctl add user moorline-attack GEHEIM @s) && {shlex.quote(case.moorline)} -q run "
                f"--runtime {runtime} {shlex.quote(sif)} -- /opt/reader $key")
        done = case.call("keyctl", "session", "-", "sh", "-c", line, cwd=work)
        if "tried" not in done.stdout:
            raise RuntimeError(f"the attack did not run: {done.stdout}{done.stderr}")
        if "GEHEIM" in done.stdout or "opened" in done.stdout:
            reached.append(f"{runtime}: {' '.join(done.stdout.split())}")
    if reached:
        return lib.broken("; ".join(reached))
    return None


lib.main(attack)
