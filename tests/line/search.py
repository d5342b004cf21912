#!/usr/bin/env python3
"""Looks for secrets in files, in every form in which they could have leaked.

    search.py SECRETS FOLDER... [--except PATH...]

SECRETS is a file with one secret a line. Searched are its bytes, its base64 (also of `user:secret`, at
each alignment, in both alphabets), its hex and URL forms, and every JSON Web Token, whatever it is for.
Compressed files are not opened: what is compressed here is images, which were made before the secrets.
"""

import base64
import os
import re
import sys
import urllib.parse

TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}")


def forms(secret):
    plain = secret.encode()
    yield plain
    yield plain.hex().encode()
    yield urllib.parse.quote(secret, safe="").encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            # what stands before the secret moves it by 0 to 2 bytes; the first and last letters depend on
            # the neighbours
            coded = encode(b"x" * before + plain)
            yield coded[4 if before else 0 :].rstrip(b"=")[:-2]


def main():
    arguments, left_out = sys.argv[1:], []
    if "--except" in arguments:
        at = arguments.index("--except")
        arguments, left_out = arguments[:at], [os.path.realpath(path) for path in arguments[at + 1 :]]
    with open(arguments[0]) as lines:
        secrets = [line.strip() for line in lines if line.strip()]
    assert secrets and all(len(secret) > 8 for secret in secrets), "no secret to look for"
    wanted = {form: number for number, secret in enumerate(secrets) for form in forms(secret)}
    pattern = re.compile(b"|".join(re.escape(form) for form in wanted))
    searched, found = 0, []
    for top in arguments[1:]:
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                if any(os.path.realpath(path).startswith(place) for place in left_out):
                    continue
                if os.path.islink(path) or not os.path.isfile(path):
                    continue
                with open(path, "rb") as file:
                    content = file.read()
                searched += 1
                hit = pattern.search(content)
                if hit:
                    found.append(f"{path}: secret {wanted[hit.group()] + 1} at byte {hit.start()}")
                elif hit := TOKEN.search(content):
                    found.append(f"{path}: a token at byte {hit.start()}")
    print(f"searched {searched} files")
    print("\n".join(found))
    sys.exit(1 if found or not searched else 0)


main()
