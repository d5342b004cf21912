#!/usr/bin/env python3
"""Writes an OCI image layout around a Debian root file system.

    oci-layout.py ROOTFS.tar LAYOUT [ARCH]

The standard library only, and no line of it is shared with the program under test, so that the
program does not read what it wrote. References in index.json (image-layout.md, image-spec 1.1):

    v1     three layers: Debian; software with a whiteout and an opaque directory; a small top
    v2     v1 with another top layer (a moved tag)
    multi  an index of v1 for ARCH (default amd64) and of a small, not runnable image for the other one
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile

EPOCH = 1700000000
CREATED = "2023-11-14T22:13:20Z"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
REVISION = "4f3c2b1a0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a"


class Layout:
    def __init__(self, root):
        self.root = root
        self.blobs = os.path.join(root, "blobs", "sha256")
        os.makedirs(self.blobs)
        with open(os.path.join(root, "oci-layout"), "w") as out:
            out.write('{"imageLayoutVersion":"1.0.0"}')

    def put(self, data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.blobs, digest), "wb") as out:
            out.write(data)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data)}

    def put_json(self, document, media_type):
        return self.put(json.dumps(document, indent=1).encode(), media_type)

    def put_layer(self, stream):
        """Compresses a tar stream into a blob: its descriptor and its diff id."""
        part = os.path.join(self.blobs, ".part")
        plain = hashlib.sha256()
        with open(part, "wb") as out, gzip.GzipFile("", "wb", 6, out, mtime=0) as packed:
            while chunk := stream.read(1 << 20):
                plain.update(chunk)
                packed.write(chunk)
        packed_hash = hashlib.sha256()
        with open(part, "rb") as made:
            while chunk := made.read(1 << 20):
                packed_hash.update(chunk)
        size = os.path.getsize(part)
        os.rename(part, os.path.join(self.blobs, packed_hash.hexdigest()))
        descriptor = {"mediaType": LAYER, "digest": "sha256:" + packed_hash.hexdigest(), "size": size}
        return descriptor, "sha256:" + plain.hexdigest()

    def image(self, arch, layers, labels):
        config = {
            "created": CREATED,
            "architecture": arch,
            "os": "linux",
            "config": {
                "Env": ["PATH=/opt/analysis/bin:/usr/sbin:/usr/bin:/sbin:/bin", "ANALYSIS_HOME=/opt/analysis", "LANG=C.UTF-8"],
                "Cmd": ["/bin/sh"],
                "WorkingDir": "/opt/analysis",
                "Labels": labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
            "history": [{"created": CREATED, "created_by": "tests/env/oci-layout.py"} for _ in layers],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.put_json(config, CONFIG),
            "layers": [descriptor for descriptor, _ in layers],
            "annotations": {"org.opencontainers.image.created": CREATED},
        }
        return self.put_json(manifest, MANIFEST)


def layer(*entries):
    """A tar of (name, kind, content, mode[, owner]) entries: kind is dir, file, link, hard or gone."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, content, mode, *rest in entries:
            entry = tarfile.TarInfo(name)
            entry.mtime, entry.mode = EPOCH, mode
            entry.uid = entry.gid = rest[0] if rest else 0
            data = None
            if kind == "dir":
                entry.type = tarfile.DIRTYPE
            elif kind == "link":
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            elif kind == "hard":
                entry.type, entry.linkname = tarfile.LNKTYPE, content
            else:
                data = content.encode()
                entry.size = len(data)
            if len(rest) > 1:
                entry.pax_headers = rest[1]
            tar.addfile(entry, io.BytesIO(data) if data is not None else None)
    out.seek(0)
    return out


def main():
    rootfs, target = sys.argv[1], sys.argv[2]
    arch = sys.argv[3] if len(sys.argv) > 3 else "amd64"
    other = "arm64" if arch == "amd64" else "amd64"
    part = target + ".part"
    shutil.rmtree(part, ignore_errors=True)
    layout = Layout(part)

    with open(rootfs, "rb") as tar:
        base = layout.put_layer(tar)
    software = layout.put_layer(
        layer(
            ("opt/", "dir", "", 0o755),
            ("opt/analysis/", "dir", "", 0o755, 1000),
            ("opt/analysis/bin/", "dir", "", 0o755, 1000),
            ("opt/analysis/bin/select", "file", '#!/bin/sh\necho "selected $# events"\n', 0o755, 1000),
            ("opt/analysis/bin/choose", "hard", "opt/analysis/bin/select", 0o755, 1000),
            ("opt/analysis/latest", "link", "bin/select", 0o777, 1000),
            ("opt/analysis/capable", "file", "xattr\n", 0o644, 0, {"SCHILY.xattr.user.moorline": "kept"}),
            ("opt/analysis/old/", "dir", "", 0o700, 1000),
            ("opt/analysis/old/cuts.txt", "file", "pt > 20\n", 0o600, 1000),
            # a file of Debian's is gone, and a directory begins anew
            ("usr/share/.wh.common-licenses", "file", "", 0o644),
            ("etc/skel/", "dir", "", 0o755),
            ("etc/skel/.wh..wh..opq", "file", "", 0o644),
            ("etc/skel/README", "file", "only this is left\n", 0o644),
        )
    )
    tops = [
        layout.put_layer(
            layer(
                ("opt/analysis/version", "file", version + "\n", 0o644, 1000),
                ("opt/analysis/.wh.old", "file", "", 0o644),
            )
        )
        for version in ("v1", "v2")
    ]
    labels = {
        "org.opencontainers.image.revision": REVISION,
        "org.opencontainers.image.source": "https://gitlab.example/physics/analysis",
    }
    images = {}
    for version, top in zip(("v1", "v2"), tops):
        images[version] = layout.image(arch, [base, software, top], {**labels, "org.opencontainers.image.version": version})
    foreign = layout.put_layer(layer(("README", "file", "for another architecture\n", 0o644)))
    stranger = layout.image(other, [foreign], labels)
    multi = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {**images["v1"], "platform": {"os": "linux", "architecture": arch}},
            {**stranger, "platform": {"os": "linux", "architecture": other, **({"variant": "v8"} if other == "arm64" else {})}},
        ],
    }
    images["multi"] = layout.put_json(multi, INDEX)
    listed = [{**image, "annotations": {"org.opencontainers.image.ref.name": name}} for name, image in images.items()]
    with open(os.path.join(part, "index.json"), "w") as out:
        json.dump({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}, out, indent=1)
    os.rename(part, target)


main()
