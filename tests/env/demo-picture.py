#!/usr/bin/env python3
"""The picture of the demo in docs/demo.svg, made from what the demo really prints on a terminal.

    demo-picture.py PROGRAM FILE.svg           runs `PROGRAM demo` on a pseudo-terminal, and writes the picture
    demo-picture.py --check PROGRAM FILE.svg   fails when its headings, commands and verdicts are not those of
                                               the demo any more (ids, digests and the port are others each time)

The picture leaves lines out, and shows `...` where it does: steps 1 to 4, what a job prints, and most of `audit job`.
Progress, which is dim, is left out without a word.
"""

import html
import os
import pty
import re
import subprocess
import sys
import tempfile

COLUMNS, ROWS = 100, 50
# of a long answer these lines are shown
KEPT = re.compile(r" +(job 01|image |asked as|SIF {4}|grade|verdict:|\d+ jobs used|JOB |01|analysis: v1|127\.)")
STEPS = "567"
COLOURS = {"36": "#56b6c2", "32": "#98c379", "31": "#e06c75", "2": "#8a919e"}
CHARACTER, LINE, MARGIN = 8.4, 18, 14


def played(program):
    """What the demo prints, with its colours."""
    with tempfile.TemporaryDirectory() as home:
        parent, child = pty.openpty()
        env = {"HOME": home, "PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
        run = subprocess.Popen([program, "demo"], stdin=child, stdout=child, stderr=child, env=env, cwd=home)
        os.close(child)
        text = b""
        try:
            while piece := os.read(parent, 1 << 16):
                text += piece
        except OSError:
            pass  # the terminal is closed when the last process has ended
        if run.wait() != 0:
            sys.exit(f"the demo failed:\n{text.decode()}")
        return text.decode().replace("\r\n", "\n")


def spans(line):
    """The pieces of a line, each with its style."""
    style, found = frozenset(), []
    for piece in re.split(r"(\x1b\[[0-9;]*m)", line):
        if code := re.fullmatch(r"\x1b\[([0-9;]*)m", piece):
            words = [word for word in code[1].split(";") if word]
            style = frozenset() if words in ([], ["0"]) else style | set(words)
        elif piece:
            found.append((piece, style))
    return found


def plain(line):
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def chosen(text):
    """The lines of the picture."""
    lines, shown = [], False
    for line in text.splitlines():
        words = plain(line)
        heading = re.match(r"(\d)\. ", words)
        if heading:
            shown = heading[1] in STEPS
            if shown and lines:
                lines.append("")
        if words.startswith("Done:"):
            lines += ["", line]
            break
        if not shown or not words:
            continue
        dim = any("2" in style for _, style in spans(line))
        own_words = re.match(r"   \S", words)
        refusal = dim and ": failed, exit code" in words
        if heading or own_words or refusal or (KEPT.match(words) and not dim):
            lines.append(line)
        elif not dim and lines and plain(lines[-1]).strip() != "...":
            lines.append("     ...")
    return lines


def wrapped(line):
    """A line as a terminal of COLUMNS breaks it."""
    rows, row, room = [], [], COLUMNS
    for text, style in spans(line):
        while text:
            row.append((text[:room], style))
            text, room = text[room:], room - len(text[:room])
            if not room:
                rows.append(row)
                row, room = [], COLUMNS
    return rows + [row] if row or not rows else rows


def svg(lines):
    rows = [row for line in ["$ moorline demo", "\x1b[2m...\x1b[0m", *lines] for row in wrapped(line)]
    width, height = round(COLUMNS * CHARACTER + 2 * MARGIN), len(rows) * LINE + 2 * MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        " font-family=\"ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace\" font-size=\"14\">",
        "<title>moorline demo, from its fifth step on</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#1e222a"/>',
    ]
    for number, row in enumerate(rows):
        column, y = 0, MARGIN + LINE * number + 13
        for text, style in row:
            lead = len(text) - len(text.lstrip(" "))
            if words := text.strip(" "):
                fill = next((colour for code, colour in COLOURS.items() if code in style), "#d7dae0")
                bold = ' font-weight="bold"' if "1" in style else ""
                x, length = MARGIN + (column + lead) * CHARACTER, len(words) * CHARACTER
                out.append(
                    f'<text x="{x:.1f}" y="{y}" fill="{fill}"{bold} textLength="{length:.1f}" xml:space="preserve">{html.escape(words, False)}</text>'
                )
            column += len(text)
    return "\n".join(out) + "\n</svg>\n"


def sameness(words):
    """What must not change: headings, commands, and the words Match and Mismatch."""
    found = []
    for line in words:
        line = re.sub(r"01[0-9a-z]{24}|sha256:[0-9a-f]+…?|127\.0\.0\.1:\d+", "X", line.strip())
        if re.match(r"\$ |\d\. ", line):
            found.append(line)
        elif verdict := re.match(r"verdict: \w+", line):
            found.append(verdict[0])
    return found


def main():
    check = sys.argv[1:2] == ["--check"]
    program, file = sys.argv[1 + check :]
    lines = chosen(played(os.path.abspath(program)))
    picture = svg(lines)
    if not check:
        open(file, "w").write(picture)
        return
    # each row of the picture is an element; a long line of the terminal has several
    there = [html.unescape(words) for words in re.findall(r">([^<>]+)</text>", open(file).read())]
    now = [html.unescape(words) for words in re.findall(r">([^<>]+)</text>", picture)]
    was, now = sameness(there), sameness(now)
    if was != now or len(now) < 10:
        sys.exit(f"{file} is not what the demo prints now; make it anew with {sys.argv[0]}:\n{was}\n{now}")


main()
