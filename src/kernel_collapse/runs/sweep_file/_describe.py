"""Trials in words: which laws, measurements and seeds, without the product of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kernel_collapse._text import told_apart
from kernel_collapse.runs.laws import file_of
from kernel_collapse.runs.tables import file_names
from kernel_collapse.runs.trials import Trial

__all__ = ["describe"]

#: More values than these are given by their ends.
MOST_VALUES = 12


def describe(trials: Iterable[Trial]) -> list[tuple[str, str]]:
    """Return what trials are, as pairs of a term and its values: a law or a measurement a pair, seeds, and how many.

    Options at their defaults are left out, unless trials differ in them.

    Parameters
    ----------
    trials : iterable of Trial
        At least one.

    Examples
    --------
    >>> from kernel_collapse.runs.trials import GaussianClasses, Trial
    >>> trials = [
    ...     Trial(data=GaussianClasses(n=n, dim=3), measurement={"kernel": "nngp", "activation": "erf"}, seed=s)
    ...     for n in (20, 40)
    ...     for s in range(4)
    ... ]
    >>> for term, values in describe(trials):
    ...     print(f"{term}: {values}")
    data gaussian_classes: n = 20, 40; dim = 3
    measurement nngp: activation = erf
    seeds: 0 to 3
    trials: 8
    """
    trials = list(trials)
    files = {trial.data: file for trial in trials if (file := file_of(trial.data)) is not None}
    called = file_names(files.values())
    shown = {data: called[file.content.sha256] for data, file in files.items()}
    parts: dict[str, tuple[str, dict[Any, dict[str, Any]]]] = {
        "data": (
            "law",
            {data: _of_data(data, shown.get(data)) for data in dict.fromkeys(t.data for t in trials)},
        ),
        "measurement": ("kernel", {t.measurement: t.measurement.model_dump() for t in trials}),
    }
    said = []
    for what, (name, options) in parts.items():
        for kind in dict.fromkeys(values[name] for values in options.values()):
            of = {spec: values for spec, values in options.items() if values[name] == kind}
            set_by_hand = {key for spec in of for key in _flat(spec.model_dump(exclude_defaults=True))}
            varied = {key: {repr(values[key]) for values in of.values()} for key in next(iter(of.values()))}
            words = [
                f"{key} = {_values([values[key] for values in of.values()])}"
                for key, different in varied.items()
                if key != name and (len(different) > 1 or key in set_by_hand)
            ]
            said.append((f"{what} {kind}", "; ".join(words) or "as by default"))
    seeds = sorted({trial.seed for trial in trials})
    return [*said, ("seeds", _values(seeds)), ("trials", str(len({trial.key for trial in trials})))]


def _of_data(data: Any, file: str | None) -> dict[str, Any]:
    """Return the options of data, of a file its name in the place of its path and its content."""
    options = _flat(data.model_dump(exclude={"content": True, "base": {"content": True}}))
    return {key: file if key in ("path", "base.path") else value for key, value in options.items()}


def _flat(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with those of the law that a law is based on beside its own."""
    base = options.get("base") or {}
    return {k: v for k, v in options.items() if k != "base"} | {f"base.{k}": v for k, v in base.items()}


def _values(values: list[Any]) -> str:
    """Return different values, whole numbers in a row and many values by their ends."""
    different = list({repr(value): value for value in values}.values())
    numbers = [value for value in different if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(different):
        numbers.sort()
        consecutive = numbers[-1] - numbers[0] == len(numbers) - 1 and all(n == int(n) for n in numbers)
        if len(numbers) > 2 and consecutive:
            return f"{_value(numbers[0])} to {_value(numbers[-1])}"
        said = told_apart(numbers)
        if len(numbers) > MOST_VALUES:
            return f"{len(numbers)} values from {said[numbers[0]]} to {said[numbers[-1]]}"
        return ", ".join(said[number] for number in numbers)
    return " or ".join(map(_value, different))


def _value(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"{len(value)} values" if len(value) > MOST_VALUES else f"({', '.join(map(_value, value))})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(v)}" for key, v in value.items() if v is not None) + "}"
    return told_apart([value])[value] if isinstance(value, float) else "none" if value is None else str(value)
