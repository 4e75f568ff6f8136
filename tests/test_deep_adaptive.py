"""The equations of state of several layers: against reference values, identities and the limits that are known."""

import csv
import itertools

import numpy as np
import pytest

import kernel_collapse as kc
import problems
from conftest import DATA
from kernel_collapse import activations
from kernel_collapse.adaptive import Status, _point
from kernel_collapse.adaptive._free_energy import FreeEnergy

with (DATA / "deep_adaptive.csv").open() as file:
    ROWS = list(csv.DictReader(file))
SOLVED = [
    list(rows)
    for _, rows in itertools.groupby(ROWS, lambda r: tuple(r[k] for k in r if k not in ("layer", "nc1")))
]
MEANS = {"D1": (-2, 2), "D2": (-6, -2, 2, 6)}


@pytest.mark.parametrize(
    "rows", SOLVED, ids=lambda r: f"{r[0]['data']}-{r[0]['activation']}-{r[0]['widths']}-d{r[0]['dim']}"
)
def test_reference(rows):
    row = rows[0]
    data = kc.data.gaussian_classes(
        int(row["n"]), int(row["dim"]), class_means=MEANS[row["data"]], seed=int(row["seed"])
    )
    solution = kc.solve_adaptive(
        data.x,
        data.targets,
        activation=row["activation"],
        depth=int(row["depth"]),
        width=[float(w) for w in row["widths"].split("-")],
        weight_variance=float(row["weight_variance"]),
        readout_variance=float(row["readout_variance"]),
        noise_variance=float(row["noise_variance"]),
    )
    assert solution.status is Status.CONVERGED
    assert solution.residual <= 1e-6
    assert len(solution.grams) == int(row["depth"])
    for known in rows:
        gram = solution.grams[int(known["layer"]) - 1]
        assert kc.nc1(gram, data.labels).ratio == pytest.approx(float(known["nc1"]), rel=1e-6)
    assert solution.free_energy_gain == pytest.approx(float(row["free_energy_gain"]), rel=1e-6)
    if row["data"] == "D1":
        assert solution.evaluations <= 30


def deep_problem(activation, rng, n=12, outputs=2):
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(n, outputs))
    energy = FreeEnergy(
        x, y, activations.get(activation), 20.0, 0.5, 0.1, lower_widths=(30.0, 10.0), weight_variance=1.3
    )
    blocks = []
    for size in (3, n, n):
        h = 0.3 * rng.normal(size=(size, size))
        blocks.append(h + h.T)
    return energy, _point.Blocks(blocks)


@pytest.mark.parametrize("activation", ["erf", "relu", "gelu", "tanh", "identity"])
def test_the_gradient_is_that_of_finite_differences(activation, rng):
    energy, h = deep_problem(activation, rng)
    point = _point.Point(energy, h)
    for layer in range(3):
        d = rng.normal(size=h[layer].shape)
        step = _point.Blocks(d + d.T if i == layer else 0 * b for i, b in enumerate(h))
        f = [_point.Point(energy, h + t * 1e-3 * step).value for t in (-2, -1, 1, 2)]
        slope = (8 * (f[2] - f[1]) - (f[3] - f[0])) / 12e-3
        # A kernel of low rank has eigenvalues that are projected out, and the root of those next to them is rough.
        assert slope == pytest.approx(_point.dot(point.gradient, step), rel=1e-6)


def test_linear_identities():
    """With phi(x) = x the matrices N_l (K^+ G_l - I) are the same for all layers: -sigma_a^2 A G_L."""
    data = kc.data.gaussian_classes(24, 4)
    widths, sa2, s2 = (40, 80, 60), 1 / 128, 1e-2
    solution = kc.solve_adaptive(
        data.x, data.targets, activation="identity", depth=3, width=widths, noise_variance=s2
    )
    assert solution.ranks == (4, 4, 4)
    g0 = data.x @ data.x.T / 4
    inverse = np.linalg.inv(sa2 * solution.gram + s2 * np.eye(24))
    t = inverse @ data.targets
    a = inverse - t @ t.T
    projection = np.linalg.pinv(g0) @ g0
    expected = -sa2 * projection @ a @ solution.covariances[-1]
    for width, below, covariance in zip(
        widths, (g0, *solution.covariances), solution.covariances, strict=False
    ):
        found = width * (np.linalg.pinv(below, rcond=1e-10) @ covariance - projection)
        np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_the_nngp_is_approached_as_one_over_width_in_every_layer(activation):
    data = kc.data.gaussian_classes(32, 4)
    widths = np.array([1e5, 3e5, 1e6])
    change = []
    for width in widths:
        s = kc.solve_adaptive(
            data.x, data.targets, activation=activation, depth=3, width=width, noise_variance=1e-2
        )
        limits = [kc.nngp(data.x, activation=activation, depth=layer) for layer in (1, 2, 3)]
        change.append(
            [np.linalg.norm(g - k) / np.linalg.norm(k) for g, k in zip(s.grams, limits, strict=True)]
        )
    for layer in range(3):
        slope = np.polyfit(np.log(widths), np.log([c[layer] for c in change]), 1)[0]
        assert slope == pytest.approx(-1, abs=0.01)


def test_symmetries(rng):
    data = kc.data.gaussian_classes(32, 5, seed=2)
    options = {"depth": 2, "width": 50, "noise_variance": 1e-2}
    plain = kc.solve_adaptive(data.x, data.targets, **options)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    order = rng.permutation(32)
    others = {
        "rotated": kc.solve_adaptive(data.x @ rotation, data.targets, **options).grams,
        "negative": kc.solve_adaptive(data.x, -data.targets, **options).grams,
    }
    permuted = kc.solve_adaptive(data.x[order], data.targets[order], **options)
    for layer in range(2):
        for grams in others.values():
            np.testing.assert_allclose(grams[layer], plain.grams[layer], atol=2e-6)
        np.testing.assert_allclose(permuted.grams[layer], plain.grams[layer][np.ix_(order, order)], atol=2e-6)
    shuffled = kc.solve_adaptive(data.x, rng.permutation(data.targets), **options)
    assert np.abs(shuffled.gram - plain.gram).max() > 0.02


@pytest.mark.parametrize(("activation", "dim"), [("erf", 5), ("relu", 5), ("erf", 60)])
def test_the_kernel_of_other_inputs(activation, dim):
    data = kc.data.gaussian_classes(32, dim, seed=2)
    options = {"depth": 3, "width": (50, 80, 60), "noise_variance": 1e-2, "activation": activation}
    s = kc.solve_adaptive(data.x, data.targets, weight_variance=1.2, **options)
    for layer, gram in enumerate(s.grams, 1):
        np.testing.assert_allclose(s.kernel(data.x[:7], data.x, layer=layer), gram[:7], atol=1e-6)
    other = kc.data.gaussian_classes(6, dim, seed=9).x
    joint = np.vstack([data.x, other])
    whole = s.kernel(joint)
    np.testing.assert_allclose(whole[32:, :32], s.kernel(other, data.x), atol=1e-7)
    assert np.linalg.eigvalsh(whole)[0] > -1e-7
    wide = kc.solve_adaptive(data.x, data.targets, **options | {"width": 1e9})
    limit = kc.nngp(other, data.x, activation=activation, depth=3)
    np.testing.assert_allclose(wide.kernel(other, data.x), limit, atol=1e-5)


def test_the_certificate_without_roots_and_the_terms():
    data = kc.data.gaussian_classes(32, 4)
    s = kc.solve_adaptive(data.x, data.targets, depth=2, width=(50, 200), noise_variance=1e-2)
    assert s.root_free_residual < 1e-5
    terms = s.free_energy_terms
    assert sum(terms.values()) == pytest.approx(s.free_energy, rel=1e-9)
    cut = kc.solve_adaptive(
        data.x,
        data.targets,
        depth=2,
        width=(50, 200),
        noise_variance=1e-2,
        max_evaluations=3,
        raise_on_failure=False,
    )
    assert cut.status is Status.MAX_ITERATIONS
    assert cut.root_free_residual > 100 * s.root_free_residual
    assert cut.free_energy > s.free_energy


def test_paths_and_starts():
    data = kc.data.gaussian_classes(24, 4)
    options = {"depth": 2, "width": (30, 60), "noise_variance": 1e-2}
    direct = kc.solve_adaptive(data.x, data.targets, **options)
    annealed = kc.solve_adaptive(data.x, data.targets, anneal=(6000, 600), **options)
    assert [p.width for p in annealed.path] == [6000, 600]
    np.testing.assert_allclose(annealed.gram, direct.gram, atol=1e-5)
    assert annealed.prior_free_energy == pytest.approx(direct.prior_free_energy, rel=1e-12)
    at_six_hundred = kc.solve_adaptive(data.x, data.targets, **options | {"width": (300, 600)})
    assert annealed.path[1].free_energy == pytest.approx(at_six_hundred.free_energy, rel=1e-9)
    several = kc.solve_adaptive(data.x, data.targets, starts=("nngp", "random", "annealed"), **options)
    assert several.same_minimum


def test_a_readout_too_small_to_adapt_to_is_said():
    data = kc.data.gaussian_classes(24, 4)
    for depth in (1, 3):
        still = kc.solve_adaptive(
            data.x, data.targets, depth=depth, readout_variance=1e-12, noise_variance=1.0
        )
        assert still.status is Status.CONVERGED
        assert max(still.adaptation) <= 1e-6
        assert still.remark.startswith("No layer adapts")
        assert still.explanation.endswith(still.remark)
        limit = kc.nngp(data.x, depth=depth)
        np.testing.assert_allclose(still.gram, limit, rtol=1e-5, atol=1e-5 * np.abs(limit).max())
        moved = kc.solve_adaptive(data.x, data.targets, depth=depth, width=50, noise_variance=1e-2)
        assert len(moved.adaptation) == depth
        assert min(moved.adaptation) > 0.01
        assert moved.remark == ""


SAMPLE = [
    pytest.param(key, marks=pytest.mark.nightly) if key in problems.DEEP_LONG else key
    for key in problems.DEEP_SAMPLE
]


@pytest.mark.parametrize("key", SAMPLE, ids=str)
def test_convergence(key):
    """Problems of every regime, easy and hard: the equations hold, or round-off is shown to be why not."""
    s = problems.solve_deep(*key)
    assert s.status in (Status.CONVERGED, Status.PRECISION_LIMIT)
    if s.status is Status.CONVERGED:
        assert s.residual <= 1e-6
    else:
        assert s.residual <= 20 * s.round_off
        assert "round-off" in s.explanation
    assert s.free_energy < s.prior_free_energy
    assert all(np.isfinite(gram).all() for gram in s.grams)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": (100, 200, 300)}, "width has 3 widths at depth 2"),
        ({"width": (100, 0)}, "width of layer 2 is 0"),
        ({"width": 0}, "width is 0"),
        ({"depth": 0}, "depth is 0"),
        ({"depth": 1.5}, "depth is 1.5"),
        ({"label_term": "published"}, "label_term 'published' is asked for at depth 2"),
        ({"starts": ("published",)}, "the start 'published' is asked for at depth 2"),
        ({"curvature": True}, "curvature=True is asked for at depth 2"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(kc.InputError, match=message):
        kc.solve_adaptive([[1.0], [2.0], [0.0]], [1.0, -1.0, 1.0], **{"depth": 2} | arguments)


def test_memory_is_refused_beforehand(monkeypatch):
    monkeypatch.setattr("kernel_collapse._memory.available", lambda: 1e6)
    with pytest.raises(kc.InputError, match="the adaptive kernel of 40 samples at depth 2 takes"):
        kc.solve_adaptive(np.eye(40), np.ones(40), depth=2)
