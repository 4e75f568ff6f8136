"""TOML with line numbers: where in the file a key was written, for whoever has to mend it.

The standard library's parser says what is in a file, not where. The line of a key is found in the text: the header of
its table, counted where the table is one of several, and the key at the start of a line. A key that is written in
another way (within an inline table, with dots) is given the line of what holds it.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernel_collapse import _files
from kernel_collapse._input_error import InputError

__all__ = ["Document", "Faults", "Place", "read"]

#: Tables of which there may be several: the first has the place ("data", 0) whether it was written [data] or [[data]].
SEVERAL = ("data", "measurement")

#: Where something is: table, number of the entry, key.
Place = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)([^\[\]=]+)\]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|#.*')
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*(?:=|\.)""")


class Faults(ValueError):
    """Several faults, a sentence each: a line each where they are printed."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


@dataclass(frozen=True)
class Document:
    """What a file holds, and the faults that were found in it."""

    path: Path
    text: str
    content: dict[str, Any]
    lines: dict[Place, int]
    faults: list[tuple[int, str]] = field(default_factory=list)

    def fault(self, place: Place, sentence: str) -> None:
        """Note a fault at a place."""
        known = place
        while known and known not in self.lines:
            known = known[:-1]
        line = self.lines.get(known, 0)
        where = [self.path.name, *([f"line {line}"] if line else []), *_entry(place)]
        self.faults.append((line, f"{', '.join(where)}: {sentence}"))

    @contextmanager
    def noting(self, place: Place) -> Iterator[None]:
        """Note what is refused inside, at a place, and go on."""
        try:
            yield
        except ValueError as refusal:
            self.fault(place, str(refusal))

    def refuse_if_faulty(self) -> None:
        """Raise what was noted, a line each in the order of the file."""
        found = list(dict.fromkeys(said for _, said in sorted(self.faults, key=lambda fault: fault[0])))
        if found:
            more = [f"and {len(found) - 10} more."] if len(found) > 10 else []
            raise Faults(found[:10] + more)


def read(path: Path) -> Document:
    """Return what a TOML file holds, or refuse it."""
    _files.require_file(
        path, "a sweep in TOML", "check the path, or let `kernel-collapse init sweep.toml` write an example"
    )
    try:
        text = path.read_bytes().decode("utf-8-sig")  # what Notepad puts before it is no part of it
    except UnicodeDecodeError:
        raise InputError(path.name, "not text", "a sweep in TOML", "save it as UTF-8") from None
    except OSError as error:
        raise InputError(
            path.name, f"be read ({error.strerror})", "a sweep in TOML", "check the rights", verb="cannot"
        ) from None
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise InputError(
            path.name, "too many brackets within brackets to be read", "a few levels", "mend it", verb="has"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            path.name,
            f"not TOML ({error})",
            'lines like n = 512 or law = "gaussian" under headers like [[data]]',
            "mend it there",
        ) from None
    return Document(path, text, content, _lines(text))


def _lines(text: str) -> dict[Place, int]:
    lines: dict[Place, int] = {}
    entries: Counter[str] = Counter()
    table: Place = ()
    depth, in_text = 0, False
    for number, line in enumerate(text.splitlines(), 1):
        inside = in_text or depth > 0
        if (line.count('"""') + line.count("'''")) % 2:
            in_text = not in_text
        elif not in_text:
            plain = _QUOTED.sub("", line)
            depth += sum(plain.count(opening) for opening in "[{") - sum(plain.count(end) for end in "]}")
        if inside:  # of a list or a text of several lines
            continue
        if header := _HEADER.match(line):
            brackets, name = header.groups()
            root, *below = [part.strip().strip("\"'") for part in name.split(".")]
            if brackets == "[[" and not below:
                entries[root] += 1
            table = (root, max(entries[root] - 1, 0), *below) if root in SEVERAL else (root, *below)
            lines.setdefault(table, number)
            lines.setdefault((root,), number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, key.group(1)), number)
    return lines


def _entry(place: Place) -> list[str]:
    """Return the name of the table that a place is in, as one writes it."""
    match place:
        case (str(root), int(number), *_):
            return [f"[[{root}]] {number + 1}"]
        case ("defaults", str(root), *_):
            return [f"[defaults.{root}]"]
    return []
