#!/usr/bin/env python3
"""Unpacks the layers of an OCI archive into a directory, one over the other; no whiteouts.

    unpack.py FILE.tar DIR

The standard library only: it shares no line with what wrote the archive. Every blob's digest is checked.
"""

import hashlib
import io
import json
import sys
import tarfile

archive, into = sys.argv[1:]
with tarfile.open(archive) as tar:

    def blob(descriptor):
        algorithm, digest = descriptor["digest"].split(":")
        data = tar.extractfile("blobs/%s/%s" % (algorithm, digest)).read()
        assert hashlib.sha256(data).hexdigest() == digest, digest
        assert len(data) == descriptor["size"], digest
        return data

    assert json.load(tar.extractfile("oci-layout"))["imageLayoutVersion"] == "1.0.0"
    index = json.load(tar.extractfile("index.json"))
    (named,) = index["manifests"]
    manifest = json.loads(blob(named))
    config = json.loads(blob(manifest["config"]))
    for layer, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
        with tarfile.open(fileobj=io.BytesIO(blob(layer)), mode="r:gz") as files:
            files.extractall(into, numeric_owner=True)
