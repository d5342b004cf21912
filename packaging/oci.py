#!/usr/bin/env python3
"""Writes an OCI image of a root file system and some files more, without a daemon and without root.

    oci.py --out FILE.tar --ref NAME [--epoch SECONDS] [--label KEY=VALUE]... IMAGE...

    IMAGE   ARCH:ROOTFS.tar:TREE, for example amd64:rootfs.tar:target/image-amd64
            ARCH        as OCI names it: amd64, arm64
            ROOTFS.tar  the lower layer, as it is
            TREE        a directory, the upper layer: owned by root, times of --epoch, sorted by name

FILE.tar is an OCI archive (image-layout.md of image-spec 1.1): what `skopeo copy oci-archive:FILE.tar`,
`podman load` and `moorline run oci-archive:FILE.tar` read. Same inputs give the same bytes with one version of
Python's zlib. The standard library only.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
import time

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
BLOCK = 1 << 20


class Archive:
    """Collects blobs in a directory; `write` makes the archive of them."""

    def __init__(self, folder, epoch):
        self.folder = folder
        self.epoch = epoch
        self.blobs = {}

    def keep(self, path, digest, media_type):
        self.blobs[digest] = path
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": os.path.getsize(path)}

    def put_json(self, document, media_type):
        data = json.dumps(document, indent=1, sort_keys=True).encode()
        digest = hashlib.sha256(data).hexdigest()
        path = os.path.join(self.folder, digest)
        with open(path, "wb") as out:
            out.write(data)
        return self.keep(path, digest, media_type)

    def put_layer(self, stream):
        """Compresses a tar: the layer's descriptor, and the digest of the tar itself."""
        part = os.path.join(self.folder, "layer-%d" % len(self.blobs))
        plain, packed = hashlib.sha256(), hashlib.sha256()
        with open(part, "wb") as out, gzip.GzipFile("", "wb", 6, out, mtime=0) as into:
            while chunk := stream.read(BLOCK):
                plain.update(chunk)
                into.write(chunk)
        with open(part, "rb") as made:
            while chunk := made.read(BLOCK):
                packed.update(chunk)
        return self.keep(part, packed.hexdigest(), LAYER), "sha256:" + plain.hexdigest()

    def write(self, out, index):
        documents = [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", index)]
        with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
            for name, data in documents:
                tar.addfile(self.entry(name, len(data)), io.BytesIO(data))
            for digest, path in sorted(self.blobs.items()):
                with open(path, "rb") as data:
                    tar.addfile(self.entry("blobs/sha256/" + digest, os.path.getsize(path)), data)

    def entry(self, name, size):
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = size, 0o644, self.epoch
        return entry


def tar_of(tree, epoch):
    """A tar of a directory that says nothing of this machine: owners, times and order are fixed."""

    def plain(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = epoch
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    out = tempfile.TemporaryFile()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder, folders, files in os.walk(tree):
            folders.sort()
            for name in sorted(folders + files):
                path = os.path.join(folder, name)
                tar.add(path, os.path.relpath(path, tree), recursive=False, filter=plain)
    out.seek(0)
    return out


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--ref", required=True)
    parser.add_argument("--epoch", type=int, default=int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("image", nargs="+")
    args = parser.parse_args()
    labels = dict(label.split("=", 1) for label in args.label)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(args.epoch))
    with tempfile.TemporaryDirectory() as folder:
        archive, manifests = Archive(folder, args.epoch), []
        for image in args.image:
            architecture, rootfs, tree = image.split(":", 2)
            platform = {"architecture": architecture, "os": "linux"}
            with open(rootfs, "rb") as lower, tar_of(tree, args.epoch) as upper:
                layers = [archive.put_layer(lower), archive.put_layer(upper)]
            config = archive.put_json(
                {
                    **platform,
                    "created": created,
                    "config": {
                        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                        # a shell and no entry point: runners start their scripts with `sh`
                        "Cmd": ["/bin/sh"],
                        "Labels": labels,
                    },
                    "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in layers]},
                    "history": [
                        {"created": created, "created_by": "mmdebstrap"},
                        {"created": created, "created_by": "moorline packaging/oci.py"},
                    ],
                },
                CONFIG,
            )
            manifest = archive.put_json(
                {
                    "schemaVersion": 2,
                    "mediaType": MANIFEST,
                    "config": config,
                    "layers": [layer for layer, _ in layers],
                    "annotations": labels,
                },
                MANIFEST,
            )
            manifests.append({**manifest, "platform": platform})
        if len(manifests) > 1:
            named = archive.put_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, INDEX)
        else:
            named = manifests[0]
        named["annotations"] = {"org.opencontainers.image.ref.name": args.ref}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]}
        archive.write(args.out, json.dumps(index, indent=1, sort_keys=True).encode())
    print(named["digest"])


if __name__ == "__main__":
    sys.exit(main())
