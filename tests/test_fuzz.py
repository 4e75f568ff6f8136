"""Odd inputs, drawn by a seeded generator: an answer, NaN with a reason, or one sentence, and no warning."""

import inspect

import numpy as np
import pytest

import test_door
from objects import OBJECTS
from test_door import FUNCTIONS, check_sentence, figures, function

DRAWS = 300
NAN, INF = float("nan"), float("inf")
#: Odd numbers, names and lists, for the parameters that are no arrays.
ODD = [
    *(0, -1, 1, 2, 3, 0.5, 1.5, -0.0, 1e-300, 1e-17, 1 - 1e-16, 5e-324, 1e15, 1e100, 1e154, 1e300, 1.7e308),
    *(-1e308, NAN, INF, -INF, 10**4, 10**9, 10**15, 10**30, 10**400, 10**5000, -(10**400), 2**31, 2**63),
    *(
        2**64,
        2**70,
        2**200,
        True,
        False,
        None,
        "",
        "3",
        "relu",
        "nngp",
        "ntk",
        "paper",
        "relu(",
        "a\nb",
        "\x1b[31m",
    ),
    *(
        np.float16(2),
        np.float32(3.5),
        np.int8(3),
        np.uint64(2**63),
        np.longdouble(2),
        np.array(3),
        np.array([3]),
    ),
    *(
        np.bool_(True),
        np.timedelta64(3),
        np.datetime64("2020"),
        1j,
        b"3",
        [],
        [1],
        [1, 2],
        (0.5, 0.5),
        {},
        set(),
    ),
    *(
        object(),
        len,
        np.ndarray,
        ...,
        np.tanh,
        lambda u: u > 0,
        lambda u: None,
        lambda u: u + 1j,
        lambda u: u[:1],
    ),
    *(lambda u: 1 / 0, lambda u: np.full(np.shape(u), NAN), lambda u: u * 1e308, lambda: 0, range(10**12)),
]
#: Parameters that are no data: how much work is done, and in which way.
CHEAP = {
    "solve_adaptive": {"max_evaluations": 2},
    "networks.train": {"epochs": 1},
}
#: Where the whole answer would take seconds: only what is refused is asked for.
LONG = ("networks.sample_posterior", "networks.solve_mean_field", "networks.train", "activations.expand")


def draws():
    """The name of a function, its arguments, and which of them are odd."""
    rng = np.random.default_rng(20260)
    names = [name for name, (arguments, _) in FUNCTIONS.items() if arguments and name not in LONG]
    for _ in range(DRAWS):
        name = names[rng.integers(len(names))]
        arguments = dict(FUNCTIONS[name][0])
        listed = FUNCTIONS[name][1].split()
        known = inspect.signature(function(name)).parameters.values()
        free = [p.name for p in known if p.name != "self" and p.kind is not p.VAR_KEYWORD]
        odd = []
        for _ in range(rng.integers(1, 3)):
            argument = free[rng.integers(len(free))]
            if argument in listed and rng.random() < 0.5:
                kind = list(OBJECTS)[rng.integers(len(OBJECTS))]
                plain = FUNCTIONS[name][0].get(argument)
                value = OBJECTS[kind](plain if isinstance(plain, np.ndarray) else np.array([1.0, 5.0]))[0]
            else:
                kind = int(rng.integers(len(ODD)))
                value = ODD[kind]
            arguments[argument] = value
            odd.append(f"{argument}={kind}")
        yield name, arguments, ", ".join(odd)


CASES = list(draws())


@pytest.mark.parametrize(
    ("name", "arguments", "odd"), CASES, ids=[f"{i} {n}({odd})" for i, (n, _, odd) in enumerate(CASES)]
)
def test_an_odd_input_is_answered_or_refused(name, arguments, odd, unchecked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result, refusal = test_door.outcome(name, CHEAP.get(name, {}) | arguments)
    if refusal:
        check_sentence(refusal)
    else:
        figures(result)
