"""A kernel that float64 does not resolve costs its own row alone; the row of the data comes from the data."""

import importlib
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

import kernel_collapse as kc
from conftest import run_cli
from kernel_collapse import measure
from kernel_collapse._input_error import KernelRefused
from kernel_collapse._ridge import ridge_of_features

LABELS = np.arange(24) % 3
X = np.random.default_rng(0).normal(size=(24, 4)) + LABELS[:, None]


def specified(*kernels):
    return measure.specify(kernels=list(kernels), activations=["erf"])


def exact_ridge(x, targets):
    """The weights in rational numbers: Gauss and Jordan on X'X + r I, rounded at the end."""
    rows = [list(map(Fraction, row)) for row in x.tolist()]
    wanted = [list(map(Fraction, row)) for row in targets.tolist()]
    ridge = Fraction(1, 10**6) * sum(v * v for row in rows for v in row) / len(rows)
    dim = range(x.shape[1])
    left = [[sum(r[a] * r[b] for r in rows) + (ridge if a == b else 0) for b in dim] for a in dim]
    right = [
        [sum(r[a] * t[k] for r, t in zip(rows, wanted, strict=True)) for k in range(len(wanted[0]))]
        for a in dim
    ]
    for c in dim:  # pivots are not 0: the matrix is positive definite
        for r in dim:
            if r != c:
                share = left[r][c] / left[c][c]
                left[r] = [a - share * b for a, b in zip(left[r], left[c], strict=True)]
                right[r] = [a - share * b for a, b in zip(right[r], right[c], strict=True)]
    return np.array([[float(v / left[a][a]) for v in right[a]] for a in dim]).T


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e4, 1e8])
@pytest.mark.parametrize(
    ("n", "dim", "scale"), [(9, 3, 1.0), (9, 1, 1.0), (5, 7, 1.0), (9, 3, 1e-3), (6, 6, 1.0)]
)
def test_weights_of_ridge_regression_are_those_in_rational_numbers(rng, n, dim, scale, offset):
    x, targets = offset + scale * rng.normal(size=(n, dim)), np.eye(3)[np.arange(n) % 3]
    expected = exact_ridge(x, targets)
    # What the ratio of the squared mean to the ridge, 1e6, leaves of round-off.
    tolerance = 1e6 * n * np.finfo(float).eps
    found = ridge_of_features(x, targets)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
    apart = x[0] - x[1]
    along = expected @ apart
    np.testing.assert_allclose(found @ apart, along, rtol=tolerance, atol=tolerance * np.abs(along).max())


def test_features_of_zeros_have_no_classifier():
    assert ridge_of_features(np.zeros((4, 2)), np.ones((4, 1))) is None


@pytest.mark.parametrize("held_out", [False, True])
def test_the_row_of_the_data_is_that_of_their_gram_matrix_and_has_no_round_off(held_out):
    data = kc.data.from_arrays(X, LABELS)
    train, test = kc.data.split(data, 0.25, seed=0) if held_out else (data, None)
    table = measure.measure(train, specified("nngp")[:1], test=test)
    gram = train.x @ train.x.T
    if test is None:
        same = kc.collapse(gram, train.labels, targets=train.targets)
    else:
        own = np.sum(test.x**2, axis=1)
        cross = test.x @ train.x.T
        same = kc.held_out_collapse(gram, train.labels, cross, own, test.labels, targets=train.targets)
    assert "round-off in the Gram matrix" in same.reason  # which a user of the command cannot follow
    row = table.iloc[-1]
    assert row["reason"] == ""
    for name, attribute in measure.METRICS_OF.items():
        # The bounds that the reason of the Gram matrix states are below a tenth; all else agrees to round-off.
        of_classifier = attribute.startswith(("nc2_classifier", "nc3", "gnc3", "unc3"))
        assert row[name] == pytest.approx(getattr(same, attribute), rel=0.1 if of_classifier else 1e-9), name


def test_the_command_speaks_of_nothing_that_its_user_did_not_give(tmp_path):
    frame = pd.DataFrame(X, columns=list("abcd")).assign(label=LABELS)
    frame.to_csv(tmp_path / "plain.csv", index=False)
    done = run_cli("measure", tmp_path / "plain.csv", "--activation", "erf", "--kernel", "nngp")
    assert done.returncode == 0, done.stderr
    assert "data: round-off" not in done.stdout
    assert "features: round-off" not in done.stdout


@pytest.mark.parametrize("held_out", [False, True])
def test_a_kernel_that_is_refused_costs_its_own_row_alone(monkeypatch, held_out):
    data = kc.data.from_arrays(X, LABELS)
    train, test = kc.data.split(data, 0.25, seed=0) if held_out else (data, None)
    untouched = measure.measure(train, specified("nngp", "ntk"), test=test)

    def refused(gram, *arguments, **options):
        if gram is held[0]:
            raise KernelRefused("the Gram matrix", "2 in row 0, column 1", "at most 1", verb="holds")
        return before(gram, *arguments, **options)

    held, before, making = [None], measure.collapse, measure.made

    def made(what, dataset):
        found = making(what, dataset)
        held[0] = found.gram if what.kernel == "nngp" else held[0]
        return found

    monkeypatch.setattr(measure, "made", made)
    monkeypatch.setattr(measure, "collapse", refused)
    table = measure.measure(train, specified("nngp", "ntk"), test=test)
    spoiled_row = (table["kernel"] == "NNGP") & (table["samples"] == "training")
    assert table[spoiled_row]["NC1"].isna().all()
    (said,) = table[spoiled_row]["reason"]
    assert said.startswith(
        "float64 does not resolve this kernel on these samples (the Gram matrix holds 2 in row 0"
    )
    assert "--standardize" in said
    pd.testing.assert_frame_equal(table[~spoiled_row], untouched[~spoiled_row])


@pytest.mark.parametrize("method", ["dense", "streamed"])
def test_entries_beyond_inner_products_are_a_reason_by_every_method(monkeypatch, method):
    data = kc.data.from_arrays(X, LABELS)
    for module in ("_gram", "_tiled_pass"):  # every kernel now passes Schwarz's inequality by too much
        inside = importlib.import_module(f"kernel_collapse.collapse.{module}")
        monkeypatch.setattr(inside, "slack", lambda eps: -1.0)
    table = measure.measure(data, specified("nngp", "ntk"), method=method)
    assert table["NC1"].isna().tolist() == [False, True, True]
    assert table["reason"].str.contains("does not resolve this kernel").tolist() == [False, True, True]


def test_a_kernel_of_ones_own_is_refused_as_before():
    class Own(kc.kernels.Kernel):
        def tile(self, x, y):
            return -np.ones((len(x), len(y)))

    data = kc.data.from_arrays(X, LABELS)
    with pytest.raises(kc.InputError, match="the diagonal of the .* holds -1"):
        measure.measure(data, [*specified("nngp"), Own()])


def test_a_model_is_compared_with_the_kernels_that_are_resolved(monkeypatch):
    inside = importlib.import_module("kernel_collapse.torch._compare")
    before, seen = inside.nc1, []

    def refused(gram, labels):
        seen.append(gram)
        if len(seen) == 1:
            raise KernelRefused("the Gram matrix", "2 in row 0, column 1", "at most 1", verb="holds")
        return before(gram, labels)

    monkeypatch.setattr(inside, "nc1", refused)
    batches = [(torch.tensor(X), torch.tensor(LABELS))]
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)).double()
    found = kc.torch.compare(model, batches)
    assert [np.isnan(row.nc1) for row in found.values()] == [True, False, False, False]
    assert "does not resolve this kernel on these samples" in found["NNGP (relu)"].reason
    seen.clear()
    with pytest.raises(kc.InputError, match="the Gram matrix holds 2"):
        kc.torch.compare(model, batches, {"mine": lambda x: x @ x.T})


def test_a_kernel_that_overflows_costs_its_own_row_alone():
    data = kc.data.from_arrays(30.0 * X, LABELS)
    table = measure.measure(data, measure.specify(kernels=["nngp"], activations=["erf", "exp"]))
    exponential = table["activation"].str.contains("exp")
    assert table[~exponential]["NC1"].notna().all()
    assert table[exponential]["NC1"].isna().all()
    assert table[exponential]["reason"].str.contains("does not resolve this kernel").all()
