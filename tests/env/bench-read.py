#!/usr/bin/env python3
"""`just bench-read`: one image read through moorline's own server, squashfuse_ll and the kernel, one after the other.

    bench-read.py [--program MOORLINE] [--megabytes 300] [--large 0] [--rounds 3] [--keep DIR]

An image is made of this Python and of random and compressible large files, converted by the program under test, and read
by the same script inside of it (/bench.py) in each way. Before each round the mount is new and, for root, the page cache
is dropped. Prints medians in milliseconds. With --large N the start of an image of N MB is measured beside it.
Needs root; squashfuse_ll is left out where it is not installed.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import bench_image

WORK = r'''
import os, random, subprocess, sys, time
what = sys.argv[1]
def timed(f):
    begun = time.perf_counter()
    f()
    print(what, (time.perf_counter() - begun) * 1000, flush=True)
def walk():
    for at, dirs, files in os.walk('/'):
        if at == '/':
            dirs[:] = [d for d in dirs if d not in ('proc', 'sys', 'dev', 'tmp', 'work_dir')]
        for name in files:
            os.lstat(os.path.join(at, name))
def python():
    code = 'import asyncio, ctypes, email, json, http.server, logging, multiprocessing, unittest, xml.dom, xml.sax'
    subprocess.run([sys.executable, '-c', code], check=True)
def part(name, number, of):
    with open(name, 'rb', buffering=0) as f:
        size = os.fstat(f.fileno()).st_size // of
        f.seek(number * size)
        left = size
        while left > 0:
            left -= len(f.read(min(1 << 20, left)) or b' ' * left)
def places(name, seed):
    pick = random.Random(seed)
    with open(name, 'rb', buffering=0) as f:
        size = os.fstat(f.fileno()).st_size - 4096
        for _ in range(1000):
            os.pread(f.fileno(), 4096, pick.randrange(size))
def eight(f):
    pids = []
    for n in range(8):
        pid = os.fork()
        if pid == 0:
            f(n)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
timed({
    'find': walk, 'import cold': python,
    'import warm': lambda: None,
    'sequential': lambda: part('/large', 0, 1),
    'sequential, 8': lambda: eight(lambda n: part('/large', n, 8)),
    'random': lambda: places('/large', 1),
    'random, 8': lambda: eight(lambda n: places('/large', n)),
}[what]) if what != 'import warm' else (python(), timed(python))
'''
WHAT = ['find', 'import cold', 'import warm', 'sequential', 'sequential, 8', 'random', 'random, 8']


def partition(sif):
    """Where the file system starts: the descriptor of type 0x4004."""
    with open(sif, 'rb') as f:
        f.seek(4096)
        table = f.read(48 * 585)
    for at in range(0, len(table), 585):
        if int.from_bytes(table[at:at + 4], 'little') == 0x4004 and table[at + 4]:
            return int.from_bytes(table[at + 17:at + 25], 'little')
    sys.exit('the SIF has no partition')


def cold():
    with open('/proc/sys/vm/drop_caches', 'w') as out:
        out.write('3')


class Mounted:
    """The image mounted by a program, entered by chroot."""
    def __init__(self, up, point, python):
        self.up, self.point, self.python = up, point, python

    def run(self, words):
        begun = time.perf_counter()
        subprocess.run(self.up, check=True)
        try:
            command = ['chroot', self.point, self.python] + words
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        finally:
            subprocess.run(['umount', self.point], check=True)
        return (time.perf_counter() - begun) * 1000, said


class Moorline:
    """The program under test."""
    def __init__(self, program, sif, python, env):
        self.command = [program, '-q', 'run', '--runtime', 'builtin', sif, '--', python]
        self.env = env

    def run(self, words):
        begun = time.perf_counter()
        done = subprocess.run(self.command + words, capture_output=True, text=True, env=self.env)
        if done.returncode:
            sys.exit('moorline run: ' + done.stderr)
        return (time.perf_counter() - begun) * 1000, done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--program', default='target/release/moorline')
    parser.add_argument('--megabytes', type=int, default=300)
    parser.add_argument('--large', type=int, default=0, help='megabytes of a second image, which is only started')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--keep', help='the image is made there once')
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit('bench-read needs root: it mounts')
    program = os.path.abspath(args.program)
    folder = args.keep or tempfile.mkdtemp(prefix='bench-read-')
    os.makedirs(folder, exist_ok=True)
    try:
        home = os.path.join(folder, 'home')
        os.makedirs(home, exist_ok=True, mode=0o700)
        env = {'PATH': os.environ['PATH'], 'HOME': home}
        python = os.path.realpath(sys.executable)
        sif = bench_image.sif(program, env, folder, 'x.sif', args.megabytes, {'bench.py': WORK.encode()})
        large = args.large and bench_image.sif(program, env, folder, 'large.sif', args.large, {})
        print(f'{os.path.getsize(sif) / 1e6:.0f} MB, {args.rounds} rounds, load {os.getloadavg()[0]:.1f}')
        point = os.path.join(folder, 'mnt')
        os.makedirs(point, exist_ok=True)
        at = partition(sif)
        ways = {'moorline': Moorline(program, sif, python, env)}
        if shutil.which('squashfuse_ll'):
            up = ['squashfuse_ll', '-o', f'ro,offset={at}', sif, point]
            ways['squashfuse_ll'] = Mounted(up, point, python)
        up = ['mount', '-t', 'squashfs', '-o', f'ro,loop,offset={at}', sif, point]
        ways['kernel'] = Mounted(up, point, python)
        found = {}
        if large:
            again = Moorline(program, large, python, env)
            ways_of_large = {'moorline': again, **{name: Mounted(
                [word if word != sif else large for word in way.up], point, python)
                for name, way in ways.items() if isinstance(way, Mounted)}}
            # the first start reads the whole file for its digest
            again.run(['-c', ''])
            ways['moorline'].run(['-c', ''])
        for _ in range(args.rounds):
            for name, way in ways.items():
                cold()
                found.setdefault(('start, cold', name), []).append(way.run(['-c', ''])[0])
                found.setdefault(('start, warm', name), []).append(way.run(['-c', ''])[0])
                if large:
                    cold()
                    start = ways_of_large[name]
                    found.setdefault(('start of large, cold', name), []).append(start.run(['-c', ''])[0])
                    found.setdefault(('start of large, warm', name), []).append(start.run(['-c', ''])[0])
                for what in WHAT:
                    cold()
                    said = way.run(['/bench.py', what])[1]
                    found.setdefault((what, name), []).append(float(said.split()[-1]))
        print('| ms, medians | ' + ' | '.join(ways) + ' |')
        print('|---' * (len(ways) + 1) + '|')
        starts = ['start, cold', 'start, warm']
        if large:
            print(f'large: {os.path.getsize(large) / 1e6:.0f} MB', file=sys.stderr)
            starts += ['start of large, cold', 'start of large, warm']
        for what in starts + WHAT:
            cells = [f'{statistics.median(found[what, name]):.0f}' for name in ways]
            print(f'| {what} | ' + ' | '.join(cells) + ' |')
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


main()
