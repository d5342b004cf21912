#!/usr/bin/env python3
"""Writes templates/*.yml, the components of GitLab's CI/CD catalog, from the files beside this one.

    ci-templates/components.py           writes them
    ci-templates/components.py --check   exits with 1 when one of them is not what would be written

A component is a file of its own below templates/. Each has the inputs of its file here and hands them on, so that
there is one implementation. `include: local` of a component is read from the component's own project and commit.
"""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ["build", "resolve", "convert", "submit", "audit", "moorline"]


def component(name):
    spec, _ = (HERE / f"{name}.yml").read_text().split("\n---\n", 1)
    inputs = re.findall(r"^    ([a-z0-9_]+):$", spec, re.MULTILINE)
    lines = [f"      {word}: $[[ inputs.{word} ]]" for word in inputs]
    head = spec.split("\n", 1)
    told = f"{head[0]}\n# Written by ci-templates/components.py: change ci-templates/{name}.yml.\n{head[1]}\n"
    return f"{told}---\ninclude:\n  - local: /ci-templates/{name}.yml\n    inputs:\n" + "\n".join(lines) + "\n"


def main():
    folder = HERE.parent / "templates"
    stale = []
    for name in NAMES:
        path, text = folder / f"{name}.yml", component(name)
        if sys.argv[1:] == ["--check"]:
            if not path.is_file() or path.read_text() != text:
                stale.append(str(path))
        else:
            folder.mkdir(exist_ok=True)
            path.write_text(text)
    if stale:
        sys.exit("not what ci-templates/components.py writes: " + ", ".join(stale))


main()
