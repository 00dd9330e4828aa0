#!/usr/bin/env python3
"""Finds the links of Markdown pages that lead nowhere: `python3 links.py FOLDER`.

A link to a file of the repository must find the file, and one with a #fragment a heading of that page. Where links lead
on the web is not asked.
"""

import re
import sys
from pathlib import Path
from urllib.parse import unquote

LINK = re.compile(r"\]\(<?([^()\s<>]+)>?(?: \"[^\"]*\")?\)|^\[[^\]]+\]: *<?([^\s<>]+)>?")
ON_THE_WEB = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
NOT_THE_PROJECT = {"target", "node_modules"}


def main():
    root = Path(sys.argv[1]).resolve()
    count, broken = 0, []
    for page in pages(root):
        for number, link in links(page.read_text(encoding="utf-8")):
            count += 1
            wrong = complaint(page, link, root)
            if wrong:
                broken.append(f"{page.relative_to(root)}:{number}: {link}: {wrong}")
    if broken:
        sys.exit("\n".join(broken))
    print(f"{count} links")


def pages(root):
    for path in sorted(root.rglob("*.md")):
        parts = path.relative_to(root).parts
        if not any(part.startswith(".") or part in NOT_THE_PROJECT for part in parts):
            yield path


def links(text):
    for number, line in prose(text):
        for found in LINK.finditer(re.sub(r"(`+).*?\1", "`code`", line)):
            link = found[1] or found[2]
            if not ON_THE_WEB.match(link):
                yield number, link


def prose(text):
    """The lines outside of fenced blocks."""
    fence = None
    for number, line in enumerate(text.split("\n"), 1):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and fence is None:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):
            fence = None
        elif fence is None:
            yield number, line


def complaint(page, link, root):
    path, _, fragment = link.partition("#")
    target = (page.parent / unquote(path)).resolve() if path else page
    if not target.is_relative_to(root):
        return "is outside of the repository"
    if not target.exists():
        return "there is no such file"
    if fragment and (target.suffix != ".md" or unquote(fragment) not in anchors(target.read_text(encoding="utf-8"))):
        return "there is no such heading"
    return None


def anchors(text):
    """The names that GitHub gives to a page's headings: a repeated one is numbered."""
    names, seen = set(), {}
    for _, line in prose(text):
        heading = re.match(r"#{1,6} +(.*?)[ #]*$", line)
        if heading:
            shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
            times = seen.setdefault(name, 0)
            seen[name] += 1
            names.add(f"{name}-{times}" if times else name)
    return names


if __name__ == "__main__":
    main()
