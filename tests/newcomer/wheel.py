#!/usr/bin/env python3
"""A wheel around a program that was built here, for when the release's own wheel is not given.

    wheel.py PROGRAM VERSION DIRECTORY

It stands for the wheel that maturin makes (bindings = "bin"): the program below .data/scripts, and no Python code.
"""

import base64
import hashlib
import pathlib
import sys
import sysconfig
import zipfile

program, version, folder = sys.argv[1:]
platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
name = f"moorline-{version}"
files = {
    f"{name}.data/scripts/moorline": pathlib.Path(program).read_bytes(),
    f"{name}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: moorline\nVersion: {version}\n".encode(),
    f"{name}.dist-info/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: false\nTag: py3-none-{platform}\n".encode(),
}
record = ""
for path, data in files.items():
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    record += f"{path},sha256={digest},{len(data)}\n"
files[f"{name}.dist-info/RECORD"] = (record + f"{name}.dist-info/RECORD,,\n").encode()
with zipfile.ZipFile(f"{folder}/{name}-py3-none-{platform}.whl", "w", zipfile.ZIP_STORED) as wheel:
    for path, data in files.items():
        info = zipfile.ZipInfo(path)
        info.external_attr = (0o100755 if "/scripts/" in path else 0o100644) << 16
        wheel.writestr(info, data)
