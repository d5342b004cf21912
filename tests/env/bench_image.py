"""What bench-read and bench-run make their images from: this Python, and one large file."""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile


def libraries(program):
    listed = subprocess.run(['ldd', program], capture_output=True, text=True).stdout
    return [word for word in listed.split() if word.startswith('/')]


class Data(io.RawIOBase):
    """So many bytes, half of which compress, each time the same."""
    def __init__(self, size):
        self.left, self.rest = size, b''
        self.pick = random.Random(7)
        self.words = [self.pick.randbytes(24) for _ in range(4000)]

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self.rest:
            text = b''.join(self.pick.choices(self.words, k=2730))
            self.rest = self.pick.randbytes(1 << 16) + text
        count = min(len(buffer), len(self.rest), self.left)
        buffer[:count] = self.rest[:count]
        self.rest, self.left = self.rest[count:], self.left - count
        return count


# parts of Python's library that are large and that no bench imports
LEFT_OUT = ['site-packages', 'dist-packages', 'test', 'tests', 'idlelib', 'ensurepip', 'lib2to3', 'turtledemo']


def layer(path, size, files, python):
    """A tar with /bin/true, a large file of `size` bytes, other files, and this Python when it is wanted."""
    seen = set()
    def kept(info):
        return None if os.path.basename(info.name) in LEFT_OUT else info
    with tarfile.open(path, 'w') as tar:
        def add(name):
            # the name, and what it is a link to; directories that are links are links in the image, too
            here = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
            for one in dict.fromkeys([here, os.path.realpath(name)]):
                if one not in seen and os.path.exists(one):
                    seen.add(one)
                    tar.add(one, one.lstrip('/'), filter=kept)
        for name in ['bin', 'sbin', 'lib', 'lib32', 'lib64']:
            if os.path.islink('/' + name):
                tar.add('/' + name, name)
        true = shutil.which('true')
        needed = [true] + libraries(true)
        if python:
            program = os.path.realpath(sys.executable)
            library = os.path.join(sys.base_prefix, 'lib', 'python%d.%d' % sys.version_info[:2])
            needed += [program, library] + libraries(program)
            for extension in os.listdir(os.path.join(library, 'lib-dynload')):
                needed += libraries(os.path.join(library, 'lib-dynload', extension))
        for name in needed:
            add(name)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo('large')
        info.size = size
        tar.addfile(info, io.BufferedReader(Data(size), 1 << 20))


def layout(folder, tar):
    """An OCI layout of one layer, which moves there."""
    blobs = os.path.join(folder, 'blobs', 'sha256')
    os.makedirs(blobs)
    def named(digest, size, kind):
        kind = 'application/vnd.oci.image.' + kind
        return {'mediaType': kind, 'digest': 'sha256:' + digest, 'size': size}
    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(blobs, digest), 'wb') as out:
            out.write(data)
        return named(digest, len(data), kind)
    total = hashlib.sha256()
    with open(tar, 'rb') as source:
        while chunk := source.read(1 << 20):
            total.update(chunk)
    layer = named(total.hexdigest(), os.path.getsize(tar), 'layer.v1.tar')
    os.rename(tar, os.path.join(blobs, total.hexdigest()))
    machine = {'x86_64': 'amd64', 'aarch64': 'arm64'}[os.uname().machine]
    config = blob(json.dumps({
        'architecture': machine, 'os': 'linux', 'config': {'Env': ['PATH=/usr/bin:/bin']},
        'rootfs': {'type': 'layers', 'diff_ids': [layer['digest']]},
    }).encode(), 'config.v1+json')
    manifest = blob(json.dumps({'schemaVersion': 2, 'config': config, 'layers': [layer]}).encode(), 'manifest.v1+json')
    with open(os.path.join(folder, 'oci-layout'), 'w') as out:
        out.write('{"imageLayoutVersion":"1.0.0"}')
    with open(os.path.join(folder, 'index.json'), 'w') as out:
        json.dump({'schemaVersion': 2, 'manifests': [manifest]}, out)


def sif(program, env, folder, name, megabytes, files, python=True):
    """The SIF of that name with some `megabytes` in it, made by the program under test unless it is there."""
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        tar, oci = os.path.join(folder, 'layer.tar'), os.path.join(folder, 'oci')
        # nine tenths stay when they are compressed
        layer(tar, megabytes * 1_100_000, files, python)
        layout(oci, tar)
        subprocess.run([program, '-q', 'convert', 'oci:' + oci, '-o', path], check=True, env=env)
        shutil.rmtree(oci)
    return path


def median(values):
    return sorted(values)[len(values) // 2]
