"""Deep RFM where float64 ends: extended precision, the bound of round-off, statuses, bad input."""

import itertools

import numpy as np
import pytest

import kernel_collapse as kc
import naive_rfm
import problems
from kernel_collapse import measure
from kernel_collapse.kernels import Linear
from kernel_collapse.solution import SolutionError, Status

SETTINGS = {
    "laplace": {"kernel": "laplace", "bandwidth": 2.0, "ridge": 0.0},
    "narrow": {"kernel": "laplace", "bandwidth": 0.5, "ridge": 1e-3},
    "gaussian": {"kernel": "gaussian", "bandwidth": 1.5, "ridge": 1e-2},
    "stiff": {"kernel": "gaussian", "bandwidth": 0.7, "ridge": 1e-6},
}


def problem(law, dim, n=12):
    x, targets = problems.problem(law, n, dim, 1)
    values, labels = np.unique(targets, return_inverse=True)
    return x, 2.0 * np.eye(len(values))[labels.ravel()] - 1.0, labels.ravel()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(("law", "dim"), tuple(itertools.product(problems.LAWS, (2, 8))))
def test_forty_digits(law, dim, settings):
    """NC1 of four layers is known to 1e-7 where it is above 1e-8, and its error is below the estimate everywhere."""
    x, y, labels = problem(law, dim)
    options = SETTINGS[settings]
    exact = naive_rfm.deep_rfm(x, y, labels, depth=4, digits=40, **options)
    found = kc.deep_rfm(x, y, depth=4, labels=labels, **options)
    for layer, known in zip(found.layers, exact, strict=True):
        values = np.array([layer.nc1_input, layer.nc1_agop, layer.nc1])
        given = np.isfinite(values)
        if layer.status is Status.RESOLVED:
            assert given.all()
        else:
            assert layer.reason
        errors = np.abs(values / known - 1)[given]
        assert (errors <= layer.round_off).all()
        assert (errors[known[given] > 1e-8] < 1e-7).all()


def drawn(count=8):
    """Problems at random: law, dimension, samples, seed, and what is fitted."""
    rng = np.random.default_rng(20261129)
    for _ in range(count):
        law, dim = str(rng.choice(problems.LAWS)), int(rng.choice([2, 3, 8, 16]))
        place = (law, dim, int(rng.choice([8, 12])), int(rng.integers(1000)))
        yield (
            *place,
            str(rng.choice(["laplace", "gaussian"])),
            float(np.exp(rng.uniform(*np.log([0.3, 8.0])))),
            float(rng.choice([0.0, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2])),
            4,
        )


#: Ill-conditioned problems in which layers magnify errors most: to 8 to 137 times the sum of what each layer adds.
MAGNIFIED = (
    ("D2", 2, 12, 21, "gaussian", 0.7, 1e-6, 5),
    ("D2", 2, 12, 7, "gaussian", 0.5, 1e-5, 4),
    ("D2", 2, 12, 10, "gaussian", 1.0, 1e-5, 4),
)


@pytest.mark.parametrize(
    ("law", "dim", "n", "seed", "kernel", "bandwidth", "ridge", "depth"), [*MAGNIFIED, *drawn()]
)
def test_the_bound_of_round_off_holds(law, dim, n, seed, kernel, bandwidth, ridge, depth):
    means = {"D1": kc.data.D1_MEANS, "D2": kc.data.D2_MEANS, "overlap": (-0.3, 0.3)}
    if law == "xor":
        data = kc.data.xor(n=n, dim=dim, seed=seed)
    else:
        data = kc.data.gaussian_classes(n=n, dim=dim, class_means=means[law], seed=seed)
    x, labels = data.x, data.labels
    y = 2.0 * np.eye(int(labels.max()) + 1)[labels] - 1.0
    options = {"depth": depth, "kernel": kernel, "bandwidth": bandwidth, "ridge": ridge}
    exact = naive_rfm.deep_rfm(x, y, labels, digits=40, **options)
    machine = kc.deep_rfm(x, y, labels=labels, raise_on_failure=False, **options)
    for found, known, bound in zip(machine.nc1, exact, machine.round_off, strict=True):
        given = np.isfinite(found)
        assert (np.abs(found / known - 1)[given] <= bound).all()
    assert (machine.round_off[1:] >= machine.round_off[:-1]).all()


def few_digits(count):
    """Problems at random, and the precision of their Gram matrix."""
    rng = np.random.default_rng(20261130)
    for _ in range(count):
        n, classes, dim = int(rng.choice([12, 24])), int(rng.choice([2, 3])), int(rng.choice([2, 4, 8]))
        labels = np.arange(n) % classes
        x = 2.0 * rng.normal(size=(classes, dim))[labels]
        x += 10.0 ** rng.uniform(-4, 0) * rng.normal(size=(n, dim))
        options = {
            "kernel": str(rng.choice(["laplace", "gaussian"])),
            "bandwidth": float(rng.choice([0.5, 2.0])),
        }
        options["ridge"] = float(rng.choice([0.0, 1e-6, 1e-3, 1e-2]))
        yield x, labels, options, str(rng.choice(["float32", "float16"]))


def test_the_bound_of_round_off_knows_the_precision_of_a_gram_matrix():
    """Of a Gram matrix that was rounded NC1 is that of the exact one to within the bound, or NaN with a reason."""
    given = 0
    for x, labels, options, precision in few_digits(60):
        y = 2.0 * np.eye(int(labels.max()) + 1)[labels] - 1.0
        options |= {"depth": 3, "labels": labels, "raise_on_failure": False}
        exact = kc.deep_rfm(x, y, **options).nc1
        rounded = kc.deep_rfm((x @ x.T).astype(precision), y, inputs="gram", **options)
        for layer, found, known in zip(rounded.layers, rounded.nc1, exact, strict=True):
            there = np.isfinite(found) & np.isfinite(known)
            assert (np.abs(found / known - 1)[there] <= layer.round_off).all()
            assert np.isfinite(found).all() or layer.reason
            given += int(there.all())
    assert given > 10


@pytest.mark.parametrize("wrap", [np.asarray, list, np.ndarray.tolist])
def test_a_gram_matrix_of_float32_does_not_tell_tight_classes(wrap, rng):
    labels = np.arange(40) % 2
    x = 100.0 * np.eye(2, 6)[labels] + 1e-4 * rng.normal(size=(40, 6))
    gram = (x @ x.T).astype(np.float32)
    options = {"depth": 2, "ridge": 1e-3, "labels": labels, "inputs": "gram"}
    machine = kc.deep_rfm(wrap(gram), 2.0 * labels - 1, **options)
    assert np.isnan(machine.nc1).all()
    assert machine.status is Status.PRECISION_LIMIT
    assert "precision of the Gram matrix" in machine.layers[0].reason
    loose = x + rng.normal(size=x.shape)
    machine = kc.deep_rfm((loose @ loose.T).astype(np.float32), 2.0 * labels - 1, **options)
    assert np.isfinite(machine.nc1[0]).all()
    assert "float32" in machine.layers[0].collapse("input").reason
    cross = (x[:5] @ loose.T).astype(np.float32)
    seen = machine.held_out(cross, labels[:5], diagonal=np.diag(x[:5] @ x[:5].T))
    exact = kc.deep_rfm(loose @ loose.T, 2.0 * labels - 1, **options)
    right = exact.held_out(x[:5] @ loose.T, labels[:5], diagonal=np.diag(x[:5] @ x[:5].T))
    for one, known in zip(seen.layers, right.layers, strict=False):
        for name in ("nc1_input", "nc1_agop", "nc1"):
            value = getattr(one, name)
            assert value == pytest.approx(getattr(known, name), rel=0.1) or (np.isnan(value) and one.reason)


def test_what_limits_nc1_is_the_rounding_of_inner_products():
    """The error grows as eps / NC1 while NC1 falls by four orders, in the naive computation in float64 no less."""
    x, y, labels = problem("D1", 3)
    exact = naive_rfm.deep_rfm(x, y, labels, depth=5, bandwidth=8.0, digits=40)[:, 1]
    assert exact[0] > 1e-3
    assert exact[-1] < 1e-6
    for values in (
        naive_rfm.deep_rfm(x, y, labels, depth=5, bandwidth=8.0),
        kc.deep_rfm(x, y, depth=5, bandwidth=8.0).nc1,
    ):
        units = np.abs(values[:, 1] - exact) / np.finfo(float).eps
        assert (units < 10).all()
        assert (units > 1e-3).all()


def test_the_end_of_float64_is_a_status():
    data = kc.data.gaussian_classes(n=64, dim=8, class_means=(-0.3, 0.3), seed=0)
    options = {"kernel": "gaussian", "bandwidth": 1.5, "ridge": 0.01, "depth": 7}
    machine = kc.deep_rfm(data.x, data.targets, **options)
    assert machine.status is Status.PRECISION_LIMIT
    resolved = [layer.status is Status.RESOLVED for layer in machine.layers]
    assert resolved == [True] * 4 + [False] * 3
    assert machine.nc1[3, 1] < 1e-8
    assert np.isnan(machine.nc1[4:, 1:]).all()
    assert np.isfinite(machine.layers[4].gram).all()
    assert np.isnan(machine.layers[5].gram).all()
    assert machine.layers[5].reason == "a layer below is not resolved"
    assert "in layer 5 of 7" in machine.explanation
    assert machine.raise_for_status() is machine
    seen = machine.held_out(data.x, data.targets)
    assert len(seen.layers) == 7
    assert [np.isfinite(layer.cross).all() for layer in seen.layers] == [True] * 5 + [False] * 2
    assert seen.reason == seen.layers[5].reason == "a layer below is not resolved"
    with pytest.raises(kc.InputError, match="the layer is precision_limit"):
        machine.layers[5].collapse()


@pytest.fixture
def duplicated():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), np.array([1.0, -1.0] * 6)
    return np.vstack([x, 3.0 * x[:2]]), np.r_[y, y[:2]]


def test_samples_of_one_direction(duplicated):
    x, y = duplicated
    with pytest.raises(SolutionError, match="samples 0 and 12 are of one direction") as raised:
        kc.deep_rfm(x, y)
    assert raised.value.status is Status.SINGULAR
    machine = kc.deep_rfm(x, y, raise_on_failure=False)
    assert machine.status is Status.SINGULAR
    assert machine.failures == (Status.SINGULAR,)
    assert np.isnan(machine.nc1).all()
    assert [layer.status for layer in machine.layers] == [Status.SINGULAR] * 5
    seen = machine.held_out(x)
    assert len(seen.layers) == 5
    assert all(np.isnan(layer.predictions).all() for layer in seen.layers)
    assert "samples 0 and 12 are of one direction" in seen.reason
    assert kc.deep_rfm(x, y, ridge=1e-3).status is Status.RESOLVED
    with pytest.raises(kc.InputError, match="rows 0 and 12 of one direction, whose targets differ"):
        kc.deep_rfm(x, np.r_[y[:12], -y[:2]])
    differing = kc.deep_rfm(x, np.r_[y[:12], -y[:2]], ridge=1e-3)
    assert differing.status is Status.RESOLVED
    assert differing.layers[0].training_error > 0.1


def test_a_kernel_that_is_singular_to_round_off():
    x, y, _ = problem("overlap", 2, n=40)
    machine = kc.deep_rfm(x, y, kernel="gaussian", bandwidth=30.0, raise_on_failure=False)
    assert machine.status is Status.SINGULAR
    assert machine.layers[0].reason == "the kernel is singular to round-off"
    assert machine.layers[0].condition == np.inf
    stiff = kc.deep_rfm(x, y, kernel="gaussian", bandwidth=30.0, ridge=1e-14, raise_on_failure=False)
    assert stiff.status in (Status.SINGULAR, Status.PRECISION_LIMIT)


def test_a_constant_target_and_targets_without_classes(rng):
    x = rng.normal(size=(20, 3))
    for targets in (np.ones(20), rng.normal(size=20)):
        machine = kc.deep_rfm(x, targets, depth=2)
        assert machine.status is Status.RESOLVED
        assert np.isnan(machine.nc1).all()
        assert machine.labels is None
        assert machine.layers[0].reason == "the targets tell no classes: give labels"
        with pytest.raises(kc.InputError, match="the samples have no classes"):
            machine.layers[0].collapse()
        with pytest.raises(kc.InputError, match="the samples have no classes"):
            machine.held_out(x, np.ones(20))
    labelled = kc.deep_rfm(x, targets, depth=2, labels=np.arange(20) % 2)
    assert np.isfinite(labelled.nc1).all()


@pytest.mark.parametrize("dim", [1, 3, 40])
def test_many_dimensions_and_one(dim):
    data = kc.data.gaussian_classes(n=24, dim=dim, seed=0)
    machine = kc.deep_rfm(data.x, data.targets, depth=2, ridge=1e-3)
    if dim > 1:
        assert machine.status is Status.RESOLVED
    else:  # on a line there are two directions
        assert machine.layers[0].reason.startswith("the samples of each class coincide")


X, Y = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]), np.array([1.0, -1.0, 1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bandwidth": 0}, "bandwidth is 0"),
        ({"bandwidth": -1.0}, "bandwidth is -1.0"),
        ({"ridge": -1e-3}, "ridge is -0.001"),
        ({"ridge": np.nan}, "ridge is nan"),
        ({"depth": 0}, "depth is 0"),
        ({"iterations": 1.5}, "iterations is 1.5"),
        ({"x": np.vstack([X[:2], [[0.0, 0.0]]])}, "x holds zeros alone in row 2"),
        ({"x": X[:1], "targets": [1.0]}, "x has 1 row"),
        ({"targets": [1.0, -1.0]}, "x has 3 rows and targets 2"),
        ({"targets": np.zeros(3)}, "targets are zeros alone"),
        ({"labels": [0, 1]}, "x have 3 rows and there are 2 labels"),
        ({"kernel": kc.kernels.NTK("gelu")}, "kernel is the NTK of 'gelu', whose slopes have no closed form"),
        ({"kernel": "laplac"}, "did you mean 'laplace'"),
        ({"kernel": 3}, "kernel is 3, expected one with a derivative"),
        ({"kernel": Linear(), "bandwidth": 2.0}, "bandwidth is given beside a kernel"),
        ({"inputs": "kernel"}, "inputs is 'kernel'"),
        ({"inputs": "gram"}, "the Gram matrix has shape"),
        ({"x": [[1, 2, 0], [2, 1, 0], [0, 0, 1]], "inputs": "gram"}, "x holds an entry beyond"),
        (
            {"x": [[1, 0, 0], [0, 0, 0], [0, 0, 1]], "inputs": "gram"},
            "the diagonal of x holds zeros alone in row 1",
        ),
        ({"activation": "reluu"}, "did you mean"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(kc.InputError, match=message):
        kc.deep_rfm(**{"x": X, "targets": Y} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": [[1.0]]}, "x has 1 features, expected the 2 of the samples"),
        ({"x": [[0.0, 0.0]]}, "x holds zeros alone in row 0"),
        ({"x": X, "labels": [3.0, 1.0, 1.0]}, "the held-out class"),
        ({"x": X, "labels": [1.0]}, "x have 3 rows and there are 1 labels"),
        ({"x": X, "diagonal": np.ones(3)}, "diagonal is given beside features"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_held_out_input_is_refused(arguments, message):
    machine = kc.deep_rfm(X, Y, depth=1)
    with pytest.raises(kc.InputError, match=message):
        machine.held_out(**arguments)


@pytest.mark.usefixtures("unchecked")
def test_bad_held_out_inner_products_are_refused():
    machine = kc.deep_rfm(X @ X.T, Y, depth=1, inputs="gram")
    for arguments, message in (
        ({"x": X @ X.T}, "diagonal is left out"),
        ({"x": X, "diagonal": np.ones(3)}, "x has 2 columns"),
        ({"x": X @ X.T, "diagonal": np.zeros(3)}, "x holds zeros alone in row 0"),
        ({"x": 9 * X @ X.T, "diagonal": np.ones(3)}, "x holds an inner product beyond"),
    ):
        with pytest.raises(kc.InputError, match=message):
            machine.held_out(**arguments)


def test_memory_is_refused_beforehand(monkeypatch):
    monkeypatch.setattr("kernel_collapse._memory.available", lambda: 1e5)
    with pytest.raises(kc.InputError, match="the deep RFM of 40 samples in 5 layers takes"):
        kc.deep_rfm(np.eye(40), np.ones(40))


@pytest.mark.parametrize("activation", ["relu", "erf"])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_held_out_sample_whose_features_vanish_ends_its_own_row_alone(activation, depth):
    """Every layer is there: what has no direction is NaN above it with a reason, and no other row changes."""
    rng = np.random.default_rng(0)
    labels, asked = np.repeat([0, 1], 15), np.array([0, 0, 0, 1, 1, 1])
    x, other = (
        np.hstack([rng.normal(size=(len(of), 3)) + 2.0 * of[:, None], np.zeros((len(of), 1))])
        for of in (labels, asked)
    )
    strange = np.insert(other, 2, [0.0, 0.0, 0.0, 1.0], axis=0)  # no feature in common with the samples
    of_strange, rest = np.insert(asked, 2, 0), [0, 1, 3, 4, 5, 6]
    machine = kc.deep_rfm(
        x, 2.0 * labels - 1.0, depth=depth, ridge=1e-2, activation=activation, labels=labels
    )
    right, found = machine.held_out(other, asked), machine.held_out(strange, of_strange)
    assert len(found.layers) == len(right.layers) == depth
    assert right.reason == ""
    why = "the features of row 2 vanish in layer 1, so that it has no direction above it"
    assert found.reason == why
    for number, (one, each) in enumerate(zip(right.layers, found.layers, strict=True)):
        for name in ("cross_input", "cross_agop", "cross", "diagonal_agop", "diagonal", "predictions"):
            known, seen = getattr(one, name), getattr(each, name)
            np.testing.assert_allclose(seen[rest], known, rtol=1e-9, atol=1e-12)
            assert np.isfinite(seen[2]).all() == (number == 0)
        assert np.isfinite([each.nc1_input, each.nc1_agop, each.nc1, each.accuracy]).all() == (number == 0)
        assert each.reason == (why if number else "")
    # A command and a table say no number of another layer in the place of the last.
    train, test = kc.data.from_arrays(x, labels), kc.data.from_arrays(strange, of_strange)
    what = measure.specify(["deep-rfm"], [activation], depth=depth, ridge=1e-2)
    row = measure.measure(train, what, test=test).iloc[-1]
    if depth == 1:
        assert row["NC1"] == pytest.approx(found.layers[-1].nc1, rel=1e-9)
    else:
        assert np.isnan([row[name] for name in measure.METRICS]).all()
        assert why in row["reason"]


def test_no_held_out_sample_has_a_direction():
    x = np.hstack([np.random.default_rng(0).normal(size=(20, 3)), np.zeros((20, 2))])
    y = np.repeat([-1.0, 1.0], 10)
    seen = kc.deep_rfm(x, y, depth=3).held_out(np.tile([0.0, 0.0, 0.0, 1.0, 2.0], (7, 1)), y[:7])
    assert len(seen.layers) == 3
    assert seen.reason.startswith(
        "the features of rows 0, 1, 2, 3, 4 and 2 more vanish in layer 1, so that they have"
    )
    assert np.isnan(seen.layers[1].predictions).all()
    assert seen.layers[2].cross.shape == (7, 20)
