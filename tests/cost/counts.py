#!/usr/bin/env python3
"""Holds what callgrind counted against counts.txt: `counts.py DUMP...`, or `counts.py --update DUMP...` to rewrite it.

The counts of a path are, for a call:

instructions  of bpos, of the crates in it and of the C library, but not of SHA-256 itself
blocks        that SHA-256 compressed. Their instructions would hide the others, and depend on the processor
misses        reads and writes of data that had to go to memory, for paths that are taken with many keys
"""

import re
import sys
from pathlib import Path

COMMITTED = Path(__file__).resolve().with_name("counts.txt")
SLACK = 0.05
COUNTS = ("instructions", "blocks", "misses")
ABSENT = (None, None, None)
UPDATE = "tests/cost/run.sh --update"
HEADER = """\
# What a decision costs: instructions without those of SHA-256, blocks hashed, and cache misses, each for one call.
# Written by `tests/cost/run.sh --update`; counts.py says what is counted.
"""
COMPRESSION = "sha2::sha256::compress256"


def main(arguments):
    update = arguments[:1] == ["--update"]
    measured = dict(read_dump(Path(name)) for name in arguments[update:])
    if update:
        rows = ["".join(f"{show(count):>8} " for count in counts) + f" {path}\n" for path, counts in measured.items()]
        COMMITTED.write_text(HEADER + "".join(rows), encoding="ascii")
    committed = read_committed()
    off = []
    print("".join(f"{name:>16}" for name in COUNTS) + "  a call: measured, committed")
    for path in measured | committed:
        pairs = list(zip(measured.get(path, ABSENT), committed.get(path, ABSENT)))
        print("".join(f"{f'{show(now)}, {show(before)}':>16}" for now, before in pairs) + f"  {path}")
        if path not in measured:
            off.append(f"{path}: NOT MEASURED. If it is gone: {UPDATE}")
        elif path not in committed:
            off.append(f"{path}: NOT COMMITTED: {UPDATE}")
        else:
            off += [f"{path}: {name}: {verdict}" for name, pair in zip(COUNTS, pairs) if (verdict := judge(*pair))]
    print("\n".join(off), end="\n" if off else "")
    if off:
        print(f"cost: {len(off)} counts are not within {SLACK:.0%} of tests/cost/counts.txt")
        return 1
    total = sum(count is not None for counts in committed.values() for count in counts)
    print(f"cost: {total} counts, all within {SLACK:.0%}")
    return 0


def judge(now, before):
    """What is wrong with a count, if anything is."""
    if now is None or before is None:
        return None if now == before else f"{show(now)}, committed {show(before)}: {UPDATE}"
    if now > before * (1 + SLACK):
        return f"{show(now)}, DEARER than {show(before)}. If it has to be, say why in the commit: {UPDATE}"
    if now < before * (1 - SLACK):
        return f"{show(now)}, CHEAPER than {show(before)}: commit the new count: {UPDATE}"
    return None


def show(count):
    return "-" if count is None else f"{count:g}"


def read_committed():
    committed = {}
    for line in COMMITTED.read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            *counts, path = line.split(maxsplit=len(COUNTS))
            committed[path] = tuple(None if count == "-" else float(count) for count in counts)
    return committed


def read_dump(file):
    """A path, and its counts. The format is in valgrind's manual, "Callgrind Format Specification"."""
    instructions = blocks = misses = 0
    function = callee = ""
    lines = iter(file.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if trigger := re.fullmatch(r"desc: Trigger: Client Request: (\d+) (\d+) (.*)", line):
            keys, calls, path = int(trigger[1]), int(trigger[2]), trigger[3]
        elif line.startswith("events: "):
            events = line.split()[1:]
        elif line.startswith("fn="):
            function = line[3:]
        elif line.startswith("cfn="):
            callee = line[4:]
        elif call := re.match(r"calls=(\d+) ", line):
            blocks += int(call[1]) if callee == COMPRESSION else 0
            next(lines)  # what the callee cost, which its own lines say too
        elif re.match(r"[0-9+*-]", line):
            costs = dict(zip(events, map(int, line.split()[1:])))  # zeros at the end are left out
            if not function.startswith("sha2::"):
                instructions += costs.get("Ir", 0)
            misses += costs.get("DLmr", 0) + costs.get("DLmw", 0)
    return path, (round(instructions / calls), blocks / calls, round(misses / calls, 2) if keys > 1 else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
