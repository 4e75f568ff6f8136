"""Pages taken apart: of the documentation its code, links, headings and commands; of HTML what a browser needs."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from typing import NamedTuple

from conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```\s*$", re.M | re.S)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_NO_LINK = re.compile(r"`[^`]*`|\$\$.*?\$\$|\$[^$\n]+\$", re.S)


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line of the page at which the text begins."""

    language: str
    text: str
    line: int


def name(page):
    """The path of a page from the root, as it is written in test names."""
    return page.relative_to(ROOT).as_posix()


def blocks(page, language=None):
    """Every fenced block of a page, or those of a language."""
    text = page.read_text(encoding="utf-8")
    found = [Block(m[1], m[2], text.count("\n", 0, m.start(2)) + 1) for m in _FENCE.finditer(text)]
    return [block for block in found if language in (None, block.language)]


def prose(page):
    """What is written outside fenced blocks and indented lines."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"^(?: {4}|\t).*$", "", text, flags=re.M)


def links(page):
    """The targets of all links and images."""
    return _LINK.findall(_NO_LINK.sub("", prose(page)))


def anchors(page):
    """The anchors of the headings, as code forges make them."""
    found = []
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.M):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return found


def commands(page):
    """Every line of a block that is a command of the program, without its comment, and the line's number."""
    found = []
    for block in blocks(page):
        for offset, line in enumerate(block.text.splitlines()):
            if line.startswith("kernel-collapse "):
                found.append((re.sub(r"\s+#.*", "", line), block.line + offset))
    return found


def inline_code(page):
    """Every piece of code within a line."""
    return re.findall(r"`([^`\n]+)`", prose(page))


class Needs(HTMLParser):
    """What a browser fetches to show a page, and where its links go."""

    def __init__(self, page):
        super().__init__()
        self.fetched, self.links, self.anchors = [], [], set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag in ("link", "script", "img", "iframe", "source"):
            self.fetched += [found[key] for key in ("href", "src") if key in found]
        self.anchors.add(found.get("id"))


def figures(report):
    """The figures that the page of a report draws, by name."""
    packed = re.search(r'id="packed-figures">([^<]*)<', report.read_text(encoding="utf-8"))[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))
