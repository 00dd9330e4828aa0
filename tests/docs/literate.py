#!/usr/bin/env python3
"""Runs the programs and commands of a documentation page: `python3 literate.py PAGE FOLDER`.

A page is Markdown, and each of its fenced blocks is one of these:

  ```LANGUAGE FILE   is written to FILE, in FOLDER; a later block with the same name replaces it
  ```sh              is run, in FOLDER; one bash runs all of a page's, so that `cd` and `export` last
  ```text            is what the sh block before it prints to the standard output. `…` stands for anything within a
                     line, and a line of `…` alone for any number of lines

Everything else is a mistake, and so is a command that fails. What is wrong is told with the page and the line.
"""

import contextlib
import difflib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 900  # for all commands of a page, of which some compile
FENCE = re.compile(r"\s*(```|~~~)")
OPENING = re.compile(r"```(\w[\w+-]*)(?: (\S+))?")


class Mistake(Exception):
    """What is wrong, with the line of the page."""

    def __init__(self, line, text):
        super().__init__(text)
        self.line = line


@dataclass
class Block:
    line: int  # of its opening fence
    language: str
    file: str  # or "", of a block that is no file
    text: str
    expected: "str | None" = None  # of an sh block


def main():
    page, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    try:
        blocks = parse(Path(page).read_text(encoding="utf-8"))
        run(blocks, folder)
    except Mistake as mistake:
        sys.exit(f"{page}:{mistake.line}: {mistake}")
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"{page}: {error}")
    kinds = ["command block" if block.language == "sh" and not block.file else "file" for block in blocks]
    print(", ".join(f"{kinds.count(kind)} {kind}s" for kind in ("file", "command block")))


# ---- What a page holds ----


def parse(text):
    blocks = []
    lines = iter(enumerate(text.split("\n"), 1))
    for number, line in lines:
        if not FENCE.match(line):
            continue
        opening = OPENING.fullmatch(line)
        if not opening:
            raise Mistake(number, f"a fence that is not ```LANGUAGE FILE, ```sh or ```text: {line}")
        language, file = opening[1], opening[2] or ""
        add(blocks, Block(number, language, file, inside(lines, number)))
    if not blocks:
        raise Mistake(1, "the page has no block to run")
    return blocks


def inside(lines, opened):
    """The lines up to the closing fence, which are taken from `lines`."""
    text = ""
    for number, line in lines:
        if line == "```":
            return text
        if FENCE.match(line):
            raise Mistake(number, f"a fence inside of the block of line {opened}: {line}")
        text += line + "\n"
    raise Mistake(opened, "the block has no closing fence")


def add(blocks, block):
    if block.file:
        path = Path(block.file)
        if path.is_absolute() or ".." in path.parts:
            raise Mistake(block.line, f"a file that is not below the page's folder: {block.file}")
        blocks.append(block)
    elif block.language == "sh":
        blocks.append(block)
    elif block.language == "text":
        if not blocks or blocks[-1].language != "sh" or blocks[-1].file or blocks[-1].expected is not None:
            raise Mistake(block.line, "a text block that follows no sh block")
        blocks[-1].expected = block.text
    else:
        raise Mistake(block.line, f"a {block.language} block without the name of its file")


# ---- Running it ----


def run(blocks, folder):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        script = scratch / "page.sh"
        script.write_text(script_of(blocks, folder, scratch), encoding="utf-8")
        status = bash(script, folder)
        begun = [block for block in blocks if stream(scratch, block, "out").exists()]
        for block in begun:
            out, err = (stream(scratch, block, name).read_bytes().decode(errors="replace") for name in ("out", "err"))
            said = f"{out}{err}".rstrip()
            if block is begun[-1] and not (scratch / "end").exists():
                lines = re.findall(r"page\.sh: line (\d+):", err)
                raise Mistake(lines[-1] if lines else block.line, f"the page's bash ends here, {status}:\n{said}")
            if block.expected is not None and not matches(block.expected, out):
                raise Mistake(block.line, f"prints something else:\n{difference(block.expected, out)}\n{said}")


def script_of(blocks, folder, scratch):
    """The page as a script, whose lines have the numbers that they have in the page, also in what bash says."""
    script = []
    for block in blocks:
        script += [""] * (block.line - 1 - len(script))
        out, err = (shlex.quote(str(stream(scratch, block, name))) for name in ("out", "err"))
        script.append(f"exec >{out} 2>{err}")
        if block.file:
            copy = stream(scratch, block, "file")
            copy.write_text(block.text, encoding="utf-8")
            script[-1] += f"; install -D -m 644 {shlex.quote(str(copy))} {shlex.quote(str(folder / block.file))}"
        else:
            script += block.text.split("\n")[:-1]
    return "\n".join([*script, f"touch {shlex.quote(str(scratch / 'end'))}", ""])


def stream(scratch, block, name):
    return scratch / f"{block.line}.{name}"


def bash(script, folder):
    """Runs the script and whatever it starts, of which nothing stays. Returns how it ended."""
    tell = "trap 'echo \"page.sh: line $LINENO: this failed: $BASH_COMMAND\" >&2' ERR"
    process = subprocess.Popen(
        ["bash", "-Eeuo", "pipefail", "-c", f'{tell}; . "$0"', script],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return f"with status {process.wait(LIMIT_S)}"
    except subprocess.TimeoutExpired:
        return f"stopped after {LIMIT_S} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# ---- What is expected of an output ----


def matches(expected, printed):
    pattern = "".join(r"(?:[^\n]*\n)*" if line == "…\n" else line_pattern(line) for line in lines_of(expected))
    return re.fullmatch(pattern, "".join(lines_of(printed))) is not None


def line_pattern(line):
    return r"[^\n]*".join(re.escape(part) for part in line.split("…"))


def lines_of(text):
    """The lines of a text. A carriage return before their end, as in HTTP, cannot be seen in a page: it is left out."""
    return [line.removesuffix("\r") + "\n" for line in text.removesuffix("\n").split("\n")] if text else []


def difference(expected, printed):
    # A printed line that an expected one stands for is shown as that one, so that only what differs is marked.
    wanted = lines_of(expected)
    patterns = [(re.compile(line_pattern(line)), line) for line in wanted if line != "…\n"]
    shown = [next((want for it, want in patterns if it.fullmatch(line)), line) for line in lines_of(printed)]
    return "".join(difflib.unified_diff(wanted, shown, "expected", "printed"))


if __name__ == "__main__":
    main()
