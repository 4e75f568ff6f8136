"""From a TOML file to a sweep: defaults, lists and ranges; every fault is found before any work."""

from __future__ import annotations

import difflib
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.runs import laws, measurements, trials
from kernel_collapse.runs.laws import FileData
from kernel_collapse.runs.measurements import Specification
from kernel_collapse.runs.sweep_file import _grid, _toml
from kernel_collapse.runs.sweep_file._sweep import MOST, Sweep, refuse_too_many
from kernel_collapse.runs.sweep_file._toml import Document, Place

__all__ = ["read"]

KEYS = ("title", "seeds", "defaults", "data", "measurement")
SEEDS = 10

Table = dict[str, Any]


class _Family(NamedTuple):
    """The specifications that a table may be of, and the key that chooses."""

    table: str
    key: str
    classes: dict[str, type[Specification]]


DATA = _Family("data", "law", laws.SPECIFICATIONS)
MEASUREMENT = _Family("measurement", "kernel", measurements.SPECIFICATIONS)


class _Axes(NamedTuple):
    """The values of every key of one specification, the entry's place, and where each key was written."""

    specification: type[Specification]
    place: Place
    values: dict[str, list[Any]]
    places: dict[str, Place]

    @property
    def size(self) -> int:
        return prod(map(len, self.values.values()))


def read(path: str | Path) -> tuple[Sweep, str]:
    """Return the sweep that a TOML file specifies, and its text.

    Parameters
    ----------
    path : path
        The file; files of data that it names are relative to it.

    Raises
    ------
    ValueError
        If anything is wrong with it, with a sentence a fault that names its line and entry.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from kernel_collapse.runs import sweep_file
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sweep.toml"
    >>> _ = path.write_text(sweep_file.EXAMPLE)
    >>> sweep, _ = sweep_file.read(path)
    >>> len(sweep.seeds), [len(grid) for grid in sweep.data], [len(grid) for grid in sweep.measurement]
    (3, [12, 1], [8, 1])
    """
    document = _toml.read(_validate.path(path, "path", "the name of a sweep in TOML"))
    content = document.content
    if not content:
        raise InputError(
            document.path.name, "empty", "a sweep", "`kernel-collapse init example.toml` writes one"
        )
    for key in content:
        with document.noting((key,)):
            _validate.choice(key, KEYS, "a key of the sweep")
    title = content.get("title")
    if not isinstance(title, str | None):
        document.fault(("title",), f"title is {title!r}, expected text in quotation marks.")
    seeds = [0]
    with document.noting(("seeds",)):
        seeds = _seeds(content.get("seeds", SEEDS))
    defaults = _defaults(document)
    data, measures = (_entries(document, f, defaults.get(f.table, {})) for f in (DATA, MEASUREMENT))
    try:
        refuse_too_many(sum(axes.size for axes in data), sum(axes.size for axes in measures), len(seeds))
    except ValueError as refusal:
        document.fault((), str(refusal))
        document.refuse_if_faulty()  # making them to find more faults would take too long
    grids = {"data": _by_entry(document, data), "measurement": _by_entry(document, measures)}
    _pair(document, grids)
    document.refuse_if_faulty()
    return Sweep(name=document.path.stem, title=title, seeds=tuple(seeds), **grids), document.text


def _seeds(written: Any) -> list[int]:
    if isinstance(written, dict):
        written = _grid.numbers("seeds", written, whole=True)
    if isinstance(written, list):
        if not written:
            raise InputError("seeds", "an empty list", "at least one seed", "write seeds = 10 for 0 to 9")
        return list(dict.fromkeys(_validate.seed(seed, "a seed") for seed in written))
    many = _validate.count(written, "seeds")
    if many > MOST:
        raise InputError("seeds", f"{many}", f"at most {MOST}", "it is the number of repeats")
    return list(range(many))


def _defaults(document: Document) -> dict[str, Table]:
    """Return the defaults of each family; a key that none of its specifications has is a fault."""
    written = document.content.get("defaults", {})
    if not isinstance(written, dict):
        document.fault(("defaults",), f"defaults is {written!r}, expected tables like [defaults.data].")
        return {}
    families = {family.table: family for family in (DATA, MEASUREMENT)}
    found: dict[str, Table] = {}
    for table, options in written.items():
        place: Place = ("defaults", table)
        with document.noting(place):
            family = families[_validate.choice(table, families, "a table of defaults")]
            if not isinstance(options, dict):
                raise InputError.of(table, options, f"a table like [defaults.{table}]")
            for key in options:
                with document.noting((*place, key)):
                    _validate.choice(key, sorted(_known(family)), f"a key of {table}")
            found[table] = options
    return found


def _keys(specification: type[Specification], name: str = "") -> list[str]:
    """Return the keys that may be written, of one of that name: what a file holds is found out, not said."""
    return [key for key in specification.model_fields if key not in ("content", *specification.fixed(name))]


def _known(family: _Family) -> set[str]:
    """Return the keys that any specification of a family has."""
    return {key for specification in family.classes.values() for key in _keys(specification)}


def _entries(document: Document, family: _Family, shared: Table) -> list[_Axes]:
    """Return the grids of every entry of a family."""
    written = document.content.get(family.table, [])
    entries = [written] if isinstance(written, dict) else written
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
        said = f"{family.table} is {written!r}" if written else f"there is no [[{family.table}]]"
        example = f'{family.key} = "{next(iter(family.classes))}"'
        document.fault(
            (family.table,), f"{said}, expected a table or several: write [[{family.table}]] and {example}."
        )
        return []
    return [
        axes
        for i, entry in enumerate(entries)
        for axes in _axes(document, family, entry, (family.table, i), shared)
    ]


def _axes(document: Document, family: _Family, entry: Table, place: Place, shared: Table) -> list[_Axes]:
    """Return the grid of an entry under each law, or kernel, that it names."""
    named = entry.get(family.key, shared.get(family.key, []))
    if isinstance(named, dict):
        named = named.get("values", named)
    names = named if isinstance(named, list) else [named]
    chosen = []
    if not names:
        known = ", ".join(sorted(family.classes))
        unknown = [key for key in entry if key not in _known(family)]
        at, hint = family.key, "add it."
        for close in difflib.get_close_matches(family.key, unknown, n=1):
            at, hint = close, f"{close} is no key, did you mean {family.key!r}?"
        document.fault((*place, at), f"{family.key} is missing, expected one of {known}: {hint}")
    for name in dict.fromkeys(map(str, names)):
        with document.noting((*place, family.key)):
            _validate.choice(name, sorted(family.classes), family.key)
            chosen.append(name)
    return [_axes_of(document, family, name, chosen, entry, place, shared) for name in chosen]


def _axes_of(
    document: Document,
    family: _Family,
    name: str,
    others: list[str],
    entry: Table,
    place: Place,
    shared: Table,
) -> _Axes:
    """Return the grid of an entry under one law or kernel."""
    specification = family.classes[name]
    keys = _keys(specification, name)
    for key in entry:
        with document.noting((*place, key)):
            if key not in keys and any(key in _keys(family.classes[other], other) for other in others):
                raise InputError(
                    key,
                    f"not a key of {family.key} {name!r}",
                    f"one that every {family.key} of the entry has",
                    "write an entry for each",
                )
            _validate.choice(key, keys, f"a key of {family.key} {name!r}")
    options = {k: v for k, v in (shared | entry).items() if k in keys and k != family.key}
    places = {k: (*place, k) if k in entry else ("defaults", family.table, k) for k in options}
    values: dict[str, list[Any]] = {family.key: [name]}
    for key, written in options.items():
        field = specification.model_fields[key]
        values[key] = []
        with document.noting(places[key]):
            if _grid.holds_specification(field):
                values[key] = _nested(document, family, key, written, places[key], shared)
            else:
                values[key] = _grid.values(key, field, written)
    return _Axes(specification, place, values, places)


def _nested(
    document: Document, family: _Family, key: str, written: Any, place: Place, shared: Table
) -> list[Any]:
    """Return the specifications that a key holds, of a table or a list of them."""
    tables = written if isinstance(written, list) else [written]
    if not tables or not all(isinstance(table, dict) for table in tables):
        raise InputError.of(key, written, "a table", f'write {key} = {{ {family.key} = "..." }}')
    shared = {k: v for k, v in shared.items() if k not in (key, family.key)}
    grids = [axes for table in tables for axes in _axes(document, family, table, place, shared)]
    size = sum(axes.size for axes in grids)
    if size > MOST:
        raise InputError(key, f"{size} values", f"at most {MOST}", "use fewer", verb="has")
    return [specification for axes in grids for specification in _build(document, axes)]


def _by_entry(document: Document, grids: list[_Axes]) -> tuple[tuple[Any, ...], ...]:
    """Return the specifications of every entry together, whichever names it chose."""
    entries: dict[Place, list[Any]] = {}
    for axes in grids:
        entries.setdefault(axes.place, []).extend(_build(document, axes))
    return tuple(map(tuple, entries.values()))


def _pair(document: Document, grids: dict[str, tuple[tuple[Any, ...], ...]]) -> None:
    """Note every entry of measurements that cannot be made of the data of an entry: of a kernel of images, of rows."""
    for j, measures in enumerate(grids["measurement"]):
        for entry in grids["data"]:
            of_a_kind = {specification.image_shape: specification for specification in entry}.values()
            with document.noting(("measurement", j, "kernel")):
                for what, specification in product(measures, of_a_kind):
                    trials.require(what, specification)


def _build(document: Document, axes: _Axes) -> list[Any]:
    """Return the specification of every cell of a grid; what one refuses is noted where it was written."""
    found = []
    for cell in product(*axes.values.values()):
        options = dict(zip(axes.values, cell, strict=True))
        if axes.specification is FileData and isinstance(options.get("path"), str):
            options["path"] = str(document.path.parent / options["path"])
        try:
            found.append(axes.specification.model_validate(options))
        except ValidationError as error:
            for path, refusal in trials.faults(error):
                document.fault(_place_of(document, axes, path), str(refusal))
    return found


def _place_of(document: Document, axes: _Axes, path: tuple[str, ...]) -> Place:
    """Return where a key of a specification was written; of what a file lacks, where the file was named."""
    for key in (*path[:1], "path"):
        if key in axes.places:
            return axes.places[key]
        if (*axes.place, key) in document.lines:
            return (*axes.place, key)
    return axes.place
