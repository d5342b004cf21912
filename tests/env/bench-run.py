#!/usr/bin/env python3
"""`just bench-run`: a warm `moorline run` beside `apptainer exec` of the same SIF, in turn, on one machine.

    bench-run.py [--program MOORLINE] [--rounds 15] [--sizes 60,1000] [--user UID] [--keep DIR]

Images of these sizes in MB are made of /bin/true and a large file, and converted by the program under test; one more
has 20 names in its root, and two have 4,000 and 10,000 (`--names` says others). Everything runs in the tree that
`tests/env/apptainer.sh make` makes, as root or as an ordinary user. There everybody may open /dev/fuse. Each command
runs once before the clock counts. Prints medians in milliseconds, the CPU time beside them (which says more on a machine
that has other work), and each bar.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import bench_image

HERE = os.path.dirname(os.path.abspath(__file__))


def timed(command, env):
    before, begun = cpu(), time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env)
    taken = (time.perf_counter() - begun) * 1000, cpu() - before
    if done.returncode:
        sys.exit(f'{command}: {done.returncode}: {done.stderr}')
    return taken


def cpu():
    """Milliseconds that the processes took which were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def inside(asked):
    """In the tree: measures what is asked for, and prints it as JSON."""
    home = tempfile.mkdtemp(prefix='bench-run-')
    env = {'PATH': os.environ['PATH'], 'HOME': home}
    # the directory of a run is bound into both containers
    os.chdir(home)
    commands = {}
    for name in asked['sifs']:
        sif = '/work/' + name
        commands[name, 'moorline'] = ['/work/moorline', '-q', 'run', '--runtime', 'builtin', sif, '--', 'true']
        commands[name, 'apptainer'] = ['apptainer', '-s', 'exec', sif, 'true']
    commands['-', 'unshare'] = ['unshare', '--user', '--map-root-user', '--pid', '--mount', '--fork', 'true']
    for command in commands.values():
        timed(command, env)
    found = {}
    for _ in range(asked['rounds']):
        for (name, way), command in commands.items():
            found.setdefault(f'{name} {way}', []).append(timed(command, env))
    print(json.dumps(found))


def names(count):
    return {f'name-{number:05}': b'' for number in range(count)}


def bar(text, reached):
    print(f'bar: {text}: {"reached" if reached else "NOT reached"}')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--program', default='target/release/moorline')
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--sizes', default='60,1000')
    parser.add_argument('--names', default='20,4000,10000')
    parser.add_argument('--user', type=int, default=0)
    parser.add_argument('--keep', help='the images are made there once')
    parser.add_argument('--inside', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        return inside(json.loads(args.inside))
    folder = args.keep or tempfile.mkdtemp(prefix='bench-run-')
    os.makedirs(folder, exist_ok=True)
    try:
        os.chmod(folder, 0o755)
        program = os.path.join(folder, 'moorline')
        shutil.copy(args.program, program)
        for script in ['bench-run.py', 'bench_image.py']:
            shutil.copy(os.path.join(HERE, script), folder)
        home = os.path.join(folder, 'home')
        os.makedirs(home, exist_ok=True, mode=0o700)
        env = {'PATH': os.environ['PATH'], 'HOME': home}
        sizes, counts = ([int(word) for word in text.split(',')] for text in (args.sizes, args.names))
        sifs = []
        for size in sizes:
            sifs.append(f'{size}-MB.sif')
            bench_image.sif(program, env, folder, sifs[-1], size, {}, python=False)
        for count in counts:
            sifs.append(f'{count}-names.sif')
            bench_image.sif(program, env, folder, sifs[-1], 1, names(count), python=False)
        asked = json.dumps({'sifs': sifs, 'rounds': args.rounds})
        command = [os.path.join(HERE, 'apptainer.sh'), 'run', folder, str(args.user), '--',
                   'python3', '/work/bench-run.py', '--inside', asked]
        load = os.getloadavg()[0]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if said.returncode:
            # also 77, where there is no apptainer
            sys.exit(said.returncode)
        said = json.loads(said.stdout)
        found = {key: bench_image.median([wall for wall, _ in values]) for key, values in said.items()}
        spent = {key: bench_image.median([used for _, used in values]) for key, values in said.items()}
        who = 'root' if args.user == 0 else f'user {args.user}'
        print(f'{args.rounds} rounds as {who}, load {load:.1f} before and {os.getloadavg()[0]:.1f} after')
        print('| warm, median ms | moorline run | its CPU | apptainer exec | its CPU |')
        print('|---|---|---|---|---|')
        for name in sifs:
            cells = [f'{of[f"{name} {way}"]:.0f}' for way in ('moorline', 'apptainer') for of in (found, spent)]
            print(f'| {name[:-4]} | ' + ' | '.join(cells) + ' |')
        print(f'| unshare alone | {found["- unshare"]:.0f} | {spent["- unshare"]:.0f} | | |')
        for size in sizes:
            ours, theirs = (found[f'{size}-MB.sif {way}'] for way in ('moorline', 'apptainer'))
            bar(f'{size} MB, {ours / theirs:.2f} of apptainer exec', ours < theirs)
        few = found[f'{counts[0]}-names.sif moorline']
        for count in counts[1:]:
            ratio = found[f'{count}-names.sif moorline'] / few
            bar(f'{count:,} names, {ratio:.2f} times the start of {counts[0]}, at most 1.5', ratio <= 1.5)
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


main()
