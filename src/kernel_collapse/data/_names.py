"""Columns are known by their names: those of held-out samples are put into the order of the training samples'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kernel_collapse._input_error import InputError
from kernel_collapse.data._dataset import Dataset
from kernel_collapse.data._labels import folded

__all__ = ["aligned"]


def aligned(dataset: Dataset, like: Dataset) -> Dataset:
    """Return the data set with its features in the order of another's, whose names they must have.

    Where one of the two has no names, or neither has, the features are taken in the order in which they stand; that
    is noted if one has.

    Raises
    ------
    ValueError
        If a feature is missing or new, or the two have not the same number of features.
    """
    if dataset.features == like.features and dataset.x.shape[1] == like.x.shape[1]:
        return dataset
    if dataset.features and like.features:
        _refuse_others(dataset, like)
        order = [dataset.features.index(name) for name in like.features]
        said = f"The columns of {dataset.name} are in a different order from those of {like.name}: matched by name."
        return replace(
            dataset, x=dataset.x[:, order], features=like.features, notes=_with(dataset.notes, said)
        )
    if dataset.x.shape[1] != like.x.shape[1]:
        raise InputError(
            dataset.name,
            f"{dataset.x.shape[1]} features and {like.name}, the training samples, has {like.x.shape[1]}",
            "the same features",
            "samples are rows",
            verb="has",
        )
    named, nameless = (dataset, like) if dataset.features else (like, dataset)
    said = (
        f"The columns of {nameless.name} have no names, so they are taken to be those of {named.name} in their order: "
        f"{_listed(named.features)}."
    )
    return replace(dataset, features=like.features, notes=_with(dataset.notes, said))


def _refuse_others(dataset: Dataset, like: Dataset) -> None:
    missing = [name for name in like.features if name not in set(dataset.features)]
    new = [name for name in dataset.features if name not in set(like.features)]
    if not missing and not new:
        return
    parts = [f"lacks {_listed(missing)}"] if missing else []
    parts += [f"has {_listed(new)} beside them" if not missing else f"has {_listed(new)}"] if new else []
    pairs = [(m, n) for m in missing for n in new if folded(m) == folded(n)]
    hint = (
        f"{pairs[0][0]!r} and {pairs[0][1]!r} differ in white space, case or notation alone, rename one"
        if pairs
        else "add, drop or rename columns"
    )
    raise InputError(
        dataset.name,
        " and ".join(parts),
        f"the {len(like.features)} features of {like.name}, the training samples",
        hint,
        verb="",
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _with(notes: tuple[Any, ...], said: str) -> tuple[Any, ...]:
    return notes if said in notes else (*notes, said)
