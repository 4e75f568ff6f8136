"""Kernels of a PyTorch model as it is, and a model beside the kernels of the same samples."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

import kernel_collapse as kc
from conftest import ROOT
from kernel_collapse.torch import _tangent


class Outputs(nn.Module):
    """A model that takes two tensors by name and returns a dict, with a parameter that does not train."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.last = nn.Linear(4, 5), nn.Linear(2, 5), nn.Linear(5, 2)
        self.left.weight.requires_grad_(False)

    def forward(self, a, b):
        return {"logits": self.last(torch.tanh(self.left(a) * self.right(b)))}


def convolutional():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 6), nn.Tanh()]
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(6, 3)).double(), torch.randn(
        14, 1, 6, 6
    ).double()


def by_jacobian(model, samples):
    """Twin: the whole Jacobian, one backward pass a sample and output."""
    model.eval()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rows = []
    for sample in samples:
        (out,) = model(**sample)["logits"] if isinstance(sample, dict) else model(sample)
        gradients = [torch.autograd.grad(one, trained, retain_graph=True) for one in out]
        rows.append(torch.stack([torch.cat([part.flatten() for part in each]) for each in gradients]))
    jacobian = torch.stack(rows).double().numpy()
    return np.einsum("ikp,jkp->ij", jacobian, jacobian) / jacobian.shape[1]


@pytest.mark.parametrize("at_once", [2**28, 8 * 14 * 100, 8 * 60])
def test_the_tangent_kernel_is_that_of_the_jacobian(at_once, monkeypatch):
    """All parameters at once, in blocks of them, and in blocks of samples too."""
    monkeypatch.setattr(_tangent, "AT_ONCE", at_once)
    model, x = convolutional()
    found = kc.torch.empirical_ntk(model.train(), x)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    expected = by_jacobian(model, [x[i : i + 1] for i in range(len(x))])
    np.testing.assert_allclose(found.gram, expected, rtol=0, atol=1e-13 * expected.max())
    assert found.jackknife(np.trace) == (np.trace(found.gram), 0.0)


def test_inputs_by_name_and_parameters_that_do_not_train():
    torch.manual_seed(0)
    model = Outputs()
    inputs = {"a": torch.randn(7, 4), "b": torch.randn(7, 2)}
    found = kc.torch.empirical_ntk(model, inputs).gram
    expected = by_jacobian(
        model, [{name: value[i : i + 1] for name, value in inputs.items()} for i in range(7)]
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * expected.max())  # of float32


def test_a_linear_model_has_the_linear_kernel():
    x = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = kc.torch.empirical_ntk(nn.Linear(4, 3).double(), x).gram
    np.testing.assert_allclose(found, (x @ x.T).numpy() + 1.0, rtol=1e-14)


def test_a_projection_errs_as_it_says():
    """Over seeds: entries are unbiased within their bound, and NC1 lies within its error as often as it should."""
    model, x = convolutional()
    labels = np.arange(len(x)) % 2
    exact = kc.torch.empirical_ntk(model, x).gram
    size, seeds = 512, range(40)

    def statistic(gram):
        return kc.nc1(gram, labels).ratio

    found = [kc.torch.empirical_ntk(model, x, projection=size, seed=seed) for seed in seeds]
    off = np.array([one.gram - exact for one in found]) / np.sqrt(
        np.outer(exact.diagonal(), exact.diagonal())
    )
    bound = np.sqrt(2.0 / size)
    assert np.sqrt(np.mean(off**2, axis=0)).max() < 1.5 * bound  # 40 seeds: the root is known to 11 %
    assert np.abs(off.mean(axis=0)).max() < 4.5 * bound / np.sqrt(len(seeds))
    scores = [
        (value - statistic(exact)) / error for value, error in (one.jackknife(statistic) for one in found)
    ]
    assert 0.6 < np.sqrt(np.mean(np.square(scores))) < 1.5
    np.testing.assert_array_equal(
        found[3].gram, kc.torch.empirical_ntk(model, x, projection=size, seed=3).gram
    )


def blobs(n=60, dtype=torch.float32):
    torch.manual_seed(2)
    labels = torch.arange(n) % 3
    return torch.eye(3, 4, dtype=dtype)[labels] + 0.3 * torch.randn(n, 4, dtype=dtype), labels


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def test_every_kernel_is_that_of_its_own_function():
    model, (x, labels) = small(), blobs()
    loader = [(x[:25], labels[:25]), (x[25:], labels[25:])]
    kernels = ["nngp", "ntk", "adaptive", "deep-rfm", kc.kernels.NTK("erf", depth=2)]
    found = kc.torch.compare(model, loader, kernels, layers=["0", "before the last linear layer"], depth=2)
    rows = x.double().numpy()
    hidden = model[:2](x).detach().double().numpy()
    targets = np.eye(3)[labels]
    expected = {
        "NNGP (relu, depth 2)": kc.nngp(rows, activation="relu", depth=2),
        "NTK (relu, depth 2)": kc.ntk(rows, activation="relu", depth=2),
        "adaptive (relu, depth 2)": kc.solve_adaptive(rows, targets, activation="relu", depth=2).gram,
        "deep RFM (relu, depth 2)": kc.deep_rfm(rows, targets, depth=2).gram,
        "NTK('erf', depth=2)": kc.ntk(rows, activation="erf", depth=2),
        "features: 0": (pre := model[0](x).detach().double().numpy()) @ pre.T,
        "features: input of 2": hidden @ hidden.T,
        "empirical NTK": kc.torch.empirical_ntk(model, x).gram,
    }
    assert list(found) == list(found.grams) == list(expected)
    np.testing.assert_array_equal(found.labels, labels)
    for name, gram in expected.items():
        np.testing.assert_allclose(found.grams[name], gram, rtol=1e-6)
        one, blocks = found[name], kc.block_structure(gram, labels)
        assert one.source == ("data" if "(" in name else "model")
        assert one.nc1 == pytest.approx(kc.nc1(gram, labels).ratio, rel=1e-5)
        assert one.alignment == pytest.approx(kc.kernel_target_alignment(gram, labels).value, rel=1e-5)
        assert one.cka == pytest.approx(kc.cka(gram, targets @ targets.T).value, rel=1e-5)
        assert (one.diagonal, one.within, one.between) == pytest.approx(
            (blocks.diagonal, blocks.within, blocks.between), rel=1e-5
        )
        assert one.nc1_error == 0.0
    frame = found.to_frame()
    assert frame["kernel"].tolist() == list(expected)
    assert frame["nc1"].tolist() == [one.nc1 for one in found.values()]


def test_samples_are_drawn_alike_from_a_loader_in_order_of_classes():
    x, labels = blobs(90)
    order = torch.argsort(labels)
    loader = [(x[order[k : k + 30]], labels[order[k : k + 30]]) for k in range(0, 90, 30)]
    counts = np.zeros(3)
    places = np.zeros(90)
    for seed in range(60):
        found = kc.torch.compare(small(), loader, [], tangent=False, samples=30, seed=seed)
        assert (np.diff(found.labels) >= 0).all()  # in the order of the loader
        counts += np.bincount(found.labels, minlength=3)
        gram = found.grams["features: input of 2"]
        hidden = small()[:2](x[order]).detach().double().numpy()
        own = np.argmin(np.abs(np.sum(hidden**2, axis=1)[None, :] - gram.diagonal()[:, None]), axis=1)
        places[own] += 1
    assert np.abs(counts - 600).max() < 60  # standard deviation of a count: 17
    assert places.min() > 4  # of 20 expected, standard deviation 3.7
    assert len(kc.torch.compare(small(), loader, [], tangent=False).labels) == 90


def test_a_figure_has_every_kernel_in_its_order():
    import matplotlib.pyplot as plt

    model, (x, labels) = small(), blobs()
    found = kc.torch.compare(model, [(x, labels)], tangent=320)
    assert found["empirical NTK"].nc1_error > 0.0
    axes = found.plot()
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == sorted(found, key=lambda name: found[name].nc1)
    drawn = {
        x: names[int(y)] for line in axes.lines for x, y in zip(*line.get_data(), strict=True) if y == int(y)
    }
    for name, one in found.items():
        assert drawn.get(one.nc1) == name
    assert axes.get_xscale() == "log"
    assert kc.plots.over_kernels(found, axes=plt.figure().add_subplot()) is not axes
    plt.close("all")


BAD = {
    "no kernel": (lambda m, d: kc.torch.compare(m, d, ["nngpp"]), "a kernel by name"),
    "one alone": (lambda m, d: kc.torch.compare(m, d, "nngp"), "put it into a list"),
    "twice": (lambda m, d: kc.torch.compare(m, d, ["nngp", "nngp"]), "twice"),
    "a number": (lambda m, d: kc.torch.compare(m, d, [3]), "a Kernel"),
    "no samples": (lambda m, d: kc.torch.compare(m, d, samples=1), "samples"),
    "empty": (lambda m, d: kc.torch.compare(m, []), "the loader is empty"),
    "no labels": (lambda m, d: kc.torch.compare(m, [d[0][0]]), "without labels"),
    "one-hot": (lambda m, d: kc.torch.compare(m, [(d[0][0], torch.eye(3)[d[0][1]])]), "class numbers"),
    "one class": (lambda m, d: kc.torch.compare(m, [(d[0][0], 0 * d[0][1])]), "class"),
    "too deep": (
        lambda m, d: kc.torch.compare(m, d, ["deep-rfm"], depth=60, tangent=False),
        "lower depth",
    ),
    "no layer": (lambda m, d: kc.torch.compare(m, d, layers="3"), "did you mean|there are"),
    "shapes": (
        lambda m, d: kc.torch.compare(m, [*d, (torch.ones(2, 5), torch.ones(2).long())]),
        "several shapes",
    ),
    "dict": (
        lambda m, d: kc.torch.compare(m, [{"input": d[0][0], "labels": d[0][1]}]),
        r"give kernels=\[\]",
    ),
    "projection": (lambda m, d: kc.torch.compare(m, d, tangent=100), "a multiple of 16"),
    "output": (lambda m, d: kc.torch.empirical_ntk(nn.Flatten(0), d[0][0]), "no parameter"),
    "shape of output": (
        lambda m, d: kc.torch.empirical_ntk(nn.Sequential(m, nn.Flatten(0)), d[0][0]),
        "outputs",
    ),
    "no number": (lambda m, d: kc.torch.empirical_ntk(m, d[0][0] * float("nan")), "not finite"),
    "no gradient": (lambda m, d: kc.torch.empirical_ntk(m.requires_grad_(False), d[0][0]), "requires_grad_"),
    "values": (lambda m, d: kc.torch.empirical_ntk(nn.Sequential(Branch(), m), d[0][0]), "sample by sample"),
    "no model": (lambda m, d: kc.torch.empirical_ntk(3, d[0][0]), "torch.nn.Module"),
    "nothing to draw": (lambda m, d: kc.plots.over_kernels({}), "no kernel whose NC1"),
}


class Branch(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else 2 * x


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_in_a_sentence(kind):
    model, data = small(), [blobs()]
    attempt, words = BAD[kind]
    with pytest.raises(kc.InputError) as refused:
        attempt(model, data)
    assert re.search(words, str(refused.value)), str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_notebook_shows_records_histories_and_comparisons():
    model, (x, labels) = small(), blobs()
    record = kc.torch.record(model, [(x, labels)], layers=["0", "before the last linear layer"])
    history = kc.History()
    assert "no record yet" in history._repr_html_()
    for epoch in (0, 5):
        history.append(record, epoch)
    compared = kc.torch.compare(model, [(x, labels)], ["nngp"])
    pages = [record._repr_html_(), history._repr_html_(), compared._repr_html_()]
    tables = [ElementTree.fromstring(page).find("table") for page in pages]
    names = [[row[0].text for row in table.find("tbody")] for table in tables]
    assert names == [list(record), list(record), list(compared)]
    assert ">nc3<" in pages[0]
    assert f"{record['0'].nc1:.4g}" in pages[0]
    assert "epoch 5, the last of 2 records, from epoch 0" in pages[1]
    assert f"{compared['empirical NTK'].nc1:.4g}" in pages[2]


@pytest.mark.parametrize("name", ["tutorial", "paper"])
def test_a_notebook_has_the_code_of_its_page(name):
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    held = json.loads((ROOT / "examples" / f"{name}.ipynb").read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in held["cells"] if cell["cell_type"] == "code"]
    assert code == [block.rstrip("\n") for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)]
    assert held["nbformat"] == 4
    assert all(cell["outputs"] == [] for cell in held["cells"] if cell["cell_type"] == "code")
