"""One law at every door: a whole number is what it is in float64, or it is refused; of a table it is noted."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import kernel_collapse as kc
from kernel_collapse._objects import numbers

EXACT = 2**53
WHOLE = st.one_of(
    st.integers(-(2**63), 2**64 - 1), st.integers(EXACT - 4, EXACT + 4), st.integers(-(2**80), 2**80)
)


class Table:
    """A table of another library, of which NumPy makes one type of numbers, as of those of polars."""

    def __init__(self, columns):
        self._held, self.columns = columns, list(columns)
        self.shape = len(columns["b"]), len(columns)

    def __getitem__(self, name):
        return self._held[name]

    def __array__(self, dtype=None, copy=None):
        return np.stack([np.asarray(column, dtype=float) for column in self._held.values()], axis=1)


#: What holds a whole number, by the range that it holds.
ANY, INT64, UINT64 = (-(2**80), 2**80), (-(2**63), 2**63 - 1), (0, 2**64 - 1)
HOLDERS = {
    "int64": (INT64, lambda n: np.array([[n, 1]], dtype=np.int64)),
    "big-endian": (INT64, lambda n: np.array([[1], [n]], dtype=">i8")),
    "uint64": (UINT64, lambda n: np.array([[n, 1]], dtype=np.uint64)),
    "list": (ANY, lambda n: [[1, n]]),
    "list with a fraction": (ANY, lambda n: [[0.5, n]]),
    "list of arrays": (INT64, lambda n: [np.array([n, 1]), np.array([0.5, 0.5])]),
    "list with another sign": (ANY, lambda n: [(n, -1)]),
    "objects": (ANY, lambda n: np.array([[None, n]], dtype=object)),
    "Fraction": (ANY, lambda n: [[Fraction(n), 0.5]]),
    "Decimal": (ANY, lambda n: [[Decimal(n), Decimal("0.5")]]),
    "DataFrame": (INT64, lambda n: pd.DataFrame({"a": [0.5], "b": [n]})),
    "DataFrame with two columns of one name": (INT64, lambda n: pd.DataFrame([[0.5, n]], columns=["a", "a"])),
    "nullable": (INT64, lambda n: pd.DataFrame({"a": [0.5, 1], "b": pd.array([None, n], dtype="Int64")})),
    "Arrow": (INT64, lambda n: pd.DataFrame({"b": pd.array([n], dtype="int64[pyarrow]")})),
    "Series": (INT64, lambda n: pd.Series([n])),
    "Series with a hole": (INT64, lambda n: pd.Series([None, n], dtype="Int64")),
    "Index": (INT64, lambda n: pd.Index([n])),
    "extension array": (INT64, lambda n: pd.array([n, None], dtype="Int64")),
    "another table": (INT64, lambda n: Table({"a": np.array([0.5]), "b": np.array([n])})),
}


def is_kept(n):
    return int(float(n)) == n


@pytest.mark.parametrize("name", HOLDERS)
@given(n=WHOLE)
@example(2**53 + 1)
@example(-(2**53) - 1)
@example(2**63 - 1)
@example(2**63)
@example(2**64 - 1)
@example(2**60)
def test_a_whole_number_is_kept_or_refused(name, n):
    (least, most), hold = HOLDERS[name]
    if not least <= n <= most:
        return
    if is_kept(n):
        assert float(n) in numbers(hold(n), "x")
    else:
        with pytest.raises(kc.InputError, match=f"x holds the whole number {n}, which float64 rounds"):
            numbers(hold(n), "x")


@given(n=st.integers(2**52, 2**64))
@example(n=2**53 + 1)  # which float64 rounds to 2^53
def test_a_table_of_a_file_is_noted_by_the_same_law(tmp_path_factory, n):
    folder = tmp_path_factory.mktemp("tables")
    text, typed = folder / "t.csv", folder / "t.parquet"
    text.write_text(f"id,k\n1,u\n{n},v\n", encoding="utf-8")
    pd.DataFrame({"id": np.array([1, n % 2**64], dtype=np.uint64), "k": ["u", "v"]}).to_parquet(typed)
    for path in (text, typed) if n < 2**64 else (text,):
        notes = kc.data.load(path, label="k").notes
        assert bool(notes) is not is_kept(n)
        assert is_kept(n) or "'id' holds whole numbers beyond 2^53" in notes[0]


@given(row=st.lists(st.integers(-(2**60), 2**60), min_size=1, max_size=4), opposite=st.booleans())
@example(row=[2**53 + 1], opposite=True)
@example(row=[-(2**53) - 1], opposite=False)
def test_what_stands_beside_a_whole_number_of_a_text_does_not_hide_it(tmp_path_factory, row, opposite):
    row = [*row, -sum(row)] if opposite else row
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    names = [f"c{i}" for i in range(len(row))]
    lines = [",".join([*names, "k"]), ",".join(["0"] * len(row) + ["u"]), ",".join([*map(str, row), "v"])]
    path.write_text("\n".join(lines), encoding="utf-8")
    data = kc.data.load(path, label="k")
    rounded = [name for name, n in zip(names, row, strict=True) if not is_kept(n)]
    assert bool(data.notes) is bool(rounded)
    assert not rounded or f"Column {rounded[0]!r} holds whole numbers" in data.notes[0]


def test_decimals_of_a_file_without_a_point_are_whole(tmp_path):
    for n, scale in ((2**53 + 1, "1"), (2**53, "1"), (2**53 + 1, "0.1")):
        cells = [Decimal(1).quantize(Decimal(scale)), Decimal(n).quantize(Decimal(scale))]
        pd.DataFrame({"id": cells, "k": ["u", "v"]}).to_parquet(tmp_path / "t.parquet")
        notes = kc.data.load(tmp_path / "t.parquet", label="k").notes
        assert bool(notes) is (n > EXACT and scale == "1")


def test_an_offset_that_float64_cannot_carry_is_no_other_ratio():
    """What was 3.22 without the offset came out as 2.60 with it, and nothing was said."""
    z = np.random.default_rng(0).integers(-600, 600, size=(20, 3)) + 300 * (np.arange(20) % 2)[:, None]
    labels = np.arange(20) % 2
    expected = kc.nc1_from_features(z, labels).ratio
    assert kc.nc1_from_features(z + 2**50, labels).ratio == pytest.approx(expected, rel=1e-12)
    with pytest.raises(kc.InputError, match="features holds the whole number .* subtract a constant"):
        kc.nc1_from_features(z + 2**60, labels)
    seen = kc.Accumulator(2, 3)
    with pytest.raises(kc.InputError, match="float64 rounds"):
        seen.update(z + 2**60, labels)
    assert not seen.counts.any()
    # Numbers that are multiples of the gap there are float64's own.
    assert kc.nc1_from_features(256 * z + 2**60, labels).ratio == pytest.approx(expected, rel=1e-12)


def test_arrays_of_files_are_refused_as_those_in_memory_are(tmp_path):
    x = np.arange(8).reshape(4, 2) + 2**60
    good, labels = x - 2**60, np.arange(4) % 2
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "k.npy", labels)
    np.savez(tmp_path / "x.npz", x=x, labels=labels)
    np.savez(tmp_path / "t.npz", x=good, labels=labels, targets=x)
    for name, what, options in (
        ("x.npz", "x", {}),
        ("x.npy", "x", {"label": str(tmp_path / "k.npy")}),
        ("t.npz", "targets", {}),
    ):
        with pytest.raises(kc.InputError, match=f"{what} holds the whole number .* which float64 rounds"):
            kc.data.load(tmp_path / name, **options)


def test_labels_are_no_numbers_and_keep_every_digit():
    ids = [2**60, 2**60 + 1] * 4
    assert kc.data.from_arrays(np.arange(8.0)[:, None], np.array(ids)).classes == (2**60, 2**60 + 1)
    with pytest.raises(kc.InputError, match="labels hold .*, expected whole numbers from 0 to 1"):
        kc.Accumulator(2, 1).update(np.arange(8.0)[:, None], np.array(ids) + 1)
