"""A job that is to have no network reaches a server of the machine: abstract socket, loopback, netlink."""

import os
import socket
import subprocess
import threading

import lib

CLIENT = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = strlen(argv[1]);
    memcpy(name.sun_path + 1, argv[1], length);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (void *)&name, offsetof(struct sockaddr_un, sun_path) + 1 + length) == 0) puts("abstract");
    struct sockaddr_in port = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (void *)&port, sizeof port) == 0) puts("loopback");
    /* its own loopback is there */
    int mine = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in self = {.sin_family = AF_INET};
    socklen_t size = sizeof self;
    self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(mine, (void *)&self, sizeof self) == 0 && listen(mine, 1) == 0 &&
        getsockname(mine, (void *)&self, &size) == 0 && connect(other, (void *)&self, sizeof self) == 0) puts("own");
    puts("tried");
    return 0;
}
"""


def attack(case):
    """--network none has nothing but its own loopback device"""
    source = case.write("client.c", "#include <stddef.h>\n" + CLIENT)
    program = os.path.join(case.dir, "client")
    if subprocess.run(["gcc", "-static", "-o", program, source], capture_output=True, check=False).returncode != 0:
        raise lib.Skip("gcc makes no program here")
    with open(program, "rb") as made:
        sif = case.sif(files=[("/opt/client", made.read(), 0o755)])
    work = case.make("work")
    name = f"moorline-attack-{os.getpid()}"
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\0" + name)
    loopback = socket.socket()
    loopback.bind(("127.0.0.1", 0))
    for server in (abstract, loopback):
        server.listen(8)
        threading.Thread(target=lambda s=server: [s.accept() for _ in range(8)], daemon=True).start()
    words = ["--", "/opt/client", name, str(loopback.getsockname()[1])]
    shared = case.call("moorline", "-q", "run", "--runtime", "builtin", sif, *words, cwd=work)
    if "abstract" not in shared.stdout or "loopback" not in shared.stdout:
        raise RuntimeError(f"the attack does not work without the wall: {shared.stdout}{shared.stderr}")
    apart = case.call("moorline", "-q", "run", "--network", "none", "--runtime", "builtin", sif, *words, cwd=work)
    if apart.returncode == 2:
        return lib.broken(f"there is no --network none; the default reaches: {' '.join(shared.stdout.split())}")
    if "tried" not in apart.stdout or "own" not in apart.stdout:
        raise RuntimeError(f"the attack did not run: {apart.stdout}{apart.stderr}")
    reached = [word for word in ("abstract", "loopback") if word in apart.stdout.split()]
    return lib.broken(f"reached: {' '.join(reached)}") if reached else None


lib.main(attack)
