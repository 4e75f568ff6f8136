"""The error of bad input is four facts and one sentence; nothing reads the sentence, of ours or of pydantic."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from pydantic import ValidationError

import kernel_collapse as kc
from kernel_collapse.adaptive import Status
from kernel_collapse.runs import sweep, trials
from kernel_collapse.runs.sweep_file import read
from kernel_collapse.runs.trials import Trial

SENTENCES = [
    (kc.InputError("depth", "0", "1 or more"), "depth is 0, expected 1 or more."),
    (kc.InputError("x", "1 row", "two", "add one", "has"), "x has 1 row, expected two: add one."),
    (kc.InputError("x", "lacks 'a'", "'a' and 'b'", verb=""), "x lacks 'a', expected 'a' and 'b'."),
    (
        kc.InputError.of("law", "xr", "one of xor", "did you mean 'xor'?"),
        "law is 'xr', expected one of xor: did you mean 'xor'?",
    ),
    (kc.InputError.of("labels", "a\nb", "two", verb="are"), "labels are 'a\\nb', expected two."),
]


@pytest.mark.parametrize(("error", "sentence"), SENTENCES, ids=[sentence for _, sentence in SENTENCES])
def test_it_is_one_sentence_however_it_travels(error, sentence):
    for same in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(same) is kc.InputError
        assert isinstance(same, ValueError)
        assert str(same) == sentence
        assert (same.what, same.given, same.expected, same.hint, same.verb) == error.args


def test_what_cannot_be_shown_is_refused_all_the_same():
    class Silent:
        def __repr__(self):
            raise RuntimeError

    error = kc.InputError.of("depth", Silent(), "a number")
    assert str(pickle.loads(pickle.dumps(error))) == "depth is an object of type Silent, expected a number."


def test_it_comes_whole_from_a_worker():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        raised = pool.submit(kc.nngp, [[1.0, float("nan")]]).exception()
    with pytest.raises(kc.InputError) as here:
        kc.nngp([[1.0, float("nan")]])
    assert str(raised) == str(here.value)
    assert raised.args == here.value.args
    assert (raised.what, raised.given) == ("x", "nan in row 0, column 1")


#: What is written of data and of a measurement, the keys that are at fault, and what is expected there.
FAULTY = [
    ({"n": 0, "dim": 3}, {}, ["data.n"], "more than 0"),
    ({"n": 9.5, "dim": 3}, {}, ["data.n"], "a whole number"),
    ({"n": "x", "dim": 3}, {}, ["data.n"], "a number"),
    ({"n": True, "dim": 3}, {}, ["data.n"], "a number or a name"),
    ({"dim": 3}, {}, ["data.n"], "a value"),
    ({"n": 9, "dim": 3, "m": 1}, {}, ["data.m"], "one that is"),
    ({"n": 9, "dim": 3, "class_sizes": [4, 4]}, {}, ["data.class_sizes"], "n = 9"),
    ({"law": "gausian", "n": 9, "dim": 3}, {}, ["data.law"], "one of "),
    ({"law": "tree", "n": 99, "dim": 3, "depth": 61}, {}, ["data.depth"], "60 or less"),
    ({"law": "xor", "n": 9, "dim": 1}, {}, ["data.dim"], "at least 2"),
    ({"law": "label-noise", "base": {"n": 9, "dim": 0}}, {}, ["data.base.dim"], "more than 0"),
    ({"law": "contaminated", "n": 9, "dim": 2, "fraction": 1}, {}, ["data.fraction"], "less than 1"),
    (3, {}, ["data"], "a table"),
    ({"n": 9, "dim": 3}, {"activation": "rleu"}, ["measurement.activation"], "one of "),
    ({"n": 9, "dim": 3}, {"activation": None}, ["measurement.kernel"], "the name of one"),
    (
        {"n": 9, "dim": 3},
        {"weight_variance": float("inf")},
        ["measurement.weight_variance"],
        "a finite number",
    ),
    (
        {"n": 9, "dim": 3},
        {"kernel": "adaptive", "label_term": "wrong"},
        ["measurement.label_term"],
        "'exact' or 'published'",
    ),
    (
        {"n": 9, "dim": 3},
        {"kernel": "adaptive", "starts": "nngp", "width": -1},
        ["measurement.width", "measurement.starts"],
        "more than zero",
    ),
]


class InAnotherLanguage:
    """An error of pydantic whose sentences say nothing."""

    def __init__(self, error):
        self.found = [fault | {"msg": "Wert ist ungültig"} for fault in error.errors()]

    def errors(self):
        return self.found


@pytest.mark.parametrize(("data", "measurement", "keys", "expected"), FAULTY)
def test_a_specification_is_refused_by_values(data, measurement, keys, expected):
    written = {"data": data, "measurement": {"kernel": "nngp", "activation": "erf"} | measurement, "seed": 0}
    with pytest.raises(ValidationError) as caught:
        Trial.model_validate(written)
    faults = trials.faults(caught.value)
    assert [".".join(fault.path) for fault in faults] == keys
    for fault in faults:
        assert type(fault.refusal) is kc.InputError
        assert fault.refusal.given
    assert expected in faults[0].refusal.expected
    other = InAnotherLanguage(caught.value)
    assert trials.describe_errors(other) == trials.describe_errors(caught.value)


def test_the_key_at_fault_is_found_whatever_is_said(tmp_path, monkeypatch):
    """A fault is placed by its path, not by a word of its sentence."""
    path = tmp_path / "own.toml"
    path.write_text('[[data]]\nlaw = "xor"\nn = 9\ndim = 1\n[[measurement]]\nkernel = "data"\n')
    with pytest.raises(ValueError, match="line 4, .*dim is 1"):
        read(path)
    monkeypatch.setattr(kc.InputError, "__str__", lambda error: "Nein.")
    with pytest.raises(ValueError, match="line 4, .*Nein"):
        read(path)


def test_how_a_solver_ended_is_stored_though_the_trial_failed(monkeypatch):
    status = Status.MAX_ITERATIONS

    def fails(trial):
        raise kc.AdaptiveError("no words.", status)

    monkeypatch.setattr(sweep, "compute", fails)
    outcome = sweep.attempt(None)
    assert (outcome.status, outcome.results) == ("failed", {"solver": "max_iterations"})
    again = pickle.loads(pickle.dumps(kc.AdaptiveError("no words.", status)))
    assert (str(again), again.status) == ("no words.", status)
