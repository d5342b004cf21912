#!/usr/bin/env python3
"""A page of the documentation as a script, so that a test does what the page says.

    steps.py PAGE [SECTION]     prints a shell script

- A `console` block: each line that begins with `$ ` is run, in the order of the page. What the page shows of its
  output is not compared; other tests do that.
- A block of another kind is a file when the paragraph before it ends with the file's name in back quotes and a colon.
  After it was written the script calls `written FILE`, which whoever runs it defines.
- All other blocks are left out.

With SECTION, only what stands below that heading, up to the next one of the same level.
"""

import re
import shlex
import sys


def blocks(lines):
    """Yields (kind, the paragraph before, the lines) of each fenced block."""
    before, inside, body = [], None, []
    for line in lines:
        fence = re.match(r"```+(\S*)", line)
        if inside is None and fence:
            inside, body = fence[1], []
        elif inside is not None and re.match(r"```+\s*$", line):
            yield inside, " ".join(before), body
            inside, before = None, []
        elif inside is not None:
            body.append(line)
        elif line.strip():
            before.append(line.strip())
        elif before and not before[-1].endswith(":"):
            before = []


def section(lines, wanted):
    level, fenced = None, False
    for line in lines:
        fenced ^= line.startswith("```")
        heading = None if fenced else re.match(r"(#+) (.*)", line)
        if heading and level is None and heading[2] == wanted:
            level = len(heading[1])
        elif heading and level is not None and len(heading[1]) <= level:
            return
        elif level is not None:
            yield line


def main():
    lines = open(sys.argv[1]).read().splitlines()
    if len(sys.argv) > 2:
        lines = list(section(lines, sys.argv[2]))
    commands = files = 0
    print("set -eu")
    for kind, before, body in blocks(lines):
        named = re.search(r"`([^`]+)`:$", before)
        if kind == "console":
            # a command goes on behind a backslash, in a line that begins with "> "
            for line in "\n".join(body).replace("\\\n> ", "\\\n").replace("\\\n", "").splitlines():
                if line.startswith("$ "):
                    commands += 1
                    print(f"printf '%s\\n' {shlex.quote(line)}")
                    print(line[2:])
        elif named:
            files += 1
            name = named[1].replace("~/", '"$HOME"/', 1) if named[1].startswith("~/") else shlex.quote(named[1])
            print(f"mkdir -p \"$(dirname {name})\"")
            print(f"cat >{name} <<'END-OF-FILE'")
            print("\n".join(body))
            print("END-OF-FILE")
            if body and body[0].startswith("#!"):
                print(f"chmod 755 {name}")
            print(f"written {name}")
    print(f"{commands} commands, {files} files", file=sys.stderr)
    if not commands:
        sys.exit(f"{sys.argv[1]}: no commands to follow")


main()
