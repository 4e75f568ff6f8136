"""Tables in Parquet files, whose columns have types: read by pyarrow, batch by batch."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_collapse import _extras, _memory
from kernel_collapse._input_error import InputError
from kernel_collapse._whole import EXACT, first_rounded
from kernel_collapse.data._columns import (
    RawTable,
    at_row,
    large_integers,
    refuse_label_column,
    refuse_missing,
)
from kernel_collapse.data._dataset import refuse_twice
from kernel_collapse.data._labels import as_written

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_parquet"]

BATCH = 65_536


def read_parquet(path: Path, label: str | None) -> RawTable:
    """Return the table of a Parquet file.

    Raises
    ------
    ValueError
        If it is none, a column is not numeric, or an entry is missing.
    """
    _extras.require("tables", "a Parquet file", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return _read(file, path, label)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, MemoryError):
            raise
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            path.name,
            f"be read as PARQUET ({first.rstrip('.')})",
            "one sample a row",
            "check the file and its ending",
            verb="cannot",
        ) from None


def _read(file: Any, path: Path, label: str | None) -> RawTable:
    schema, rows = file.schema_arrow, file.metadata.num_rows
    index = _index(schema)
    refuse_twice(schema.names, path.name)
    label = "label" if label is None else label
    if label not in schema.names:
        refuse_label_column(label, [name for name in schema.names if name not in index], path.name)
    left_out = [name for name in index if name != label]
    names = [name for name in schema.names if name != label and name not in index]
    if not rows or not names:
        raise InputError(
            path.name,
            f"{rows} rows of {len(names) + 1} columns",
            "some rows, and features beside the labels",
            verb="has",
        )
    _refuse_what_is_no_number(schema, names, path)
    what = f"{path.name}, with {rows} rows of {len(names)} numbers,"
    _memory.require(8.0 * rows * (len(names) + 8), what, "take a part of it")
    x, labels = np.empty((rows, len(names))), []
    rounded = set()
    top = 0
    for batch in file.iter_batches(batch_size=BATCH, columns=[*names, label]):
        here = slice(top, top + batch.num_rows)
        for i, name in enumerate(names):
            x[here, i] = _numbers(batch.column(name), name, top, path)
            if name not in rounded and _rounds(batch.column(name), x[here, i]):
                rounded.add(name)
        labels += _labels(batch.column(label), top, path)
        top += batch.num_rows
    notes = large_integers([name for name in names if name in rounded])
    if left_out:
        said = ", ".join(map(repr, left_out))
        notes += (f"The index of {path.name} ({said}) is left out: an index of pandas is no feature.",)
    return RawTable(x, labels, tuple(names), notes)


def _index(schema: pa.Schema) -> list[str]:
    """Return the columns that were the index of a DataFrame of pandas."""
    about = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    return [name for name in about.get("index_columns", []) if isinstance(name, str) and name in schema.names]


def _refuse_what_is_no_number(schema: pa.Schema, names: list[str], path: Path) -> None:
    import pyarrow.types as kinds

    numeric = (kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_decimal)
    other = [name for name in names if not any(is_one(schema.field(name).type) for is_one in numeric)]
    if other:
        shown = ", ".join(map(repr, other[:5])) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        kind = schema.field(other[0]).type
        said = "categories or text" if kinds.is_dictionary(kind) else str(kind)
        raise InputError(
            path.name,
            f"columns that are not numeric ({shown}): {other[0]!r} is of type {said}",
            "numbers",
            "drop or encode them",
            verb="has",
        )


def _rounds(column: pa.Array, values: np.ndarray) -> bool:
    """Tell whether a column holds whole numbers that float64 rounds, as it does those of a text."""
    import pyarrow.types as kinds

    whole = kinds.is_integer(column.type) or (kinds.is_decimal(column.type) and column.type.scale == 0)
    if not whole or not np.abs(values).max(initial=0.0) >= EXACT:
        return False
    return first_rounded(column.to_numpy(zero_copy_only=False)) is not None


def _numbers(column: pa.Array, name: str, top: int, path: Path) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.types as kinds

    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        found: Any = "null"
    else:
        if kinds.is_boolean(column.type):
            column = column.cast(pa.uint8())
        elif kinds.is_decimal(column.type):
            column = column.cast(pa.float64())
        values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
        if np.isfinite(values).all():
            return values
        row = int(np.argmin(np.isfinite(values)))
        found = values[row]
    raise InputError(
        "x",
        f"{found} in {at_row(top + row)}, column {name!r} of {path.name}",
        "finite numbers",
        "drop or impute those rows",
        verb="holds",
    )


def _labels(column: pa.Array, top: int, path: Path) -> list[Any]:
    """Return labels of their types; what is no number, truth value or text becomes text."""
    import pyarrow as pa
    import pyarrow.types as kinds

    if kinds.is_binary(column.type) or kinds.is_large_binary(column.type):
        column = column.cast(pa.string())
    values = column.to_pylist()
    refuse_missing(values, path.name, top)
    if isinstance(values[0], Decimal):
        return as_written(list(map(str, values)))
    plain = isinstance(values[0], int | float | str)
    return values if plain else list(map(str, values))
