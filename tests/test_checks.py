"""What checks the types of every other test finds what it is there to find, also after calls that were right."""

import importlib
import sys

import numpy as np
import pytest
from jaxtyping import TypeCheckError, install_import_hook

from conftest import types_unchecked
from kernel_collapse.collapse import _simplex

SOURCE = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from kernel_collapse._shapes import Float
calls = []

def halved(x: Float[np.ndarray, "n d"], factor: int = 2) -> Float[np.ndarray, " n"]:
    calls.append(x.shape)
    return x.sum(axis=1)[: len(x) if factor == 2 else -1] / factor

def either(x: Float[np.ndarray, "n d"], transposed: float) -> Float[np.ndarray, "n d"]:
    return x.T if transposed > 0.5 else x

def of_list(rows: list[Float[np.ndarray, " d"]]) -> int:
    return len(rows)

@dataclass(frozen=True)
class Pair:
    x: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, " n"]
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "checked_module.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with install_import_hook("checked_module", "beartype.beartype"):
        yield importlib.import_module("checked_module")
    del sys.modules["checked_module"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((np.ones(3),), "parameter"),
        ((np.ones((3, 2), dtype=int),), "parameter"),
        (([[1.0, 2.0]],), "parameter"),
        ((np.ones((3, 2)), 2.0), "parameter"),
        ((np.ones((3, 2)), 3), "return"),
    ],
    ids=["shape", "dtype", "list", "type", "result"],
)
def test_what_is_unlike_an_earlier_call_is_refused(module, arguments, what):
    for _ in range(2):
        np.testing.assert_array_equal(module.halved(np.ones((3, 2))), np.ones(3))
    for _ in range(2):
        with pytest.raises(TypeCheckError, match=what):
            module.halved(*arguments)
    with types_unchecked():
        assert module.either(np.ones((3, 2)), 1.0).shape == (2, 3)


def test_a_result_of_another_shape_is_refused_though_the_call_is_known(module):
    """The function is called once all the same."""
    for _ in range(2):
        assert module.either(np.ones((3, 2)), 0.0).shape == (3, 2)
    for _ in range(2):
        with pytest.raises(TypeCheckError, match="return"):
            module.either(np.ones((3, 2)), 1.0)
    assert module.either(np.ones((3, 2)), 0.0).shape == (3, 2)
    module.halved(np.ones((3, 2)))
    with pytest.raises(TypeCheckError):
        module.halved(np.ones((3, 2)), 3)
    assert module.calls == [(3, 2), (3, 2)]


def test_what_is_in_a_list_and_the_fields_of_a_class(module):
    assert module.of_list([np.ones(2)]) == 1
    with pytest.raises(TypeCheckError):
        module.of_list([np.ones((2, 2))])
    module.Pair(np.ones((3, 2)), np.ones(3))
    with pytest.raises(TypeCheckError):
        module.Pair(np.ones((3, 2)), np.ones(2))


def test_the_library_is_checked():
    """Its packages that pyproject.toml names, before and after a call that is right."""
    for _ in range(2):
        with pytest.raises(TypeCheckError):
            _simplex.to_simplex(np.ones((2, 3)))
        assert _simplex.to_simplex(np.eye(2)).shape == ()
