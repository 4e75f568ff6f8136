"""Layers of PyTorch models: what is recorded is what all features at once give, and everything is as before."""

import copy
import os
import pickle
import socket

import numpy as np
import pytest
import torch
from torch import nn

import kernel_collapse as kc

BEFORE = "before the last linear layer"
#: Of features that are rounded alike in both computations; sums alone differ.
SAME = 1e-9


class Net(nn.Module):
    """Two convolutions, with an activation that writes into what it is given."""

    def __init__(self):
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True)
        self.conv2, self.relu2 = nn.Conv2d(4, 6, 3), nn.ReLU()
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(6, 3)
        self.unused = nn.Linear(6, 3)

    def forward(self, x):
        h = self.relu2(self.conv2(self.relu1(self.conv1(x))))
        return self.fc(self.drop(h.mean(dim=(2, 3))))


class Block(nn.Module):
    """A transformer block over tokens, and a classifier of their mean."""

    def __init__(self):
        super().__init__()
        self.block = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.block(x).mean(dim=1))


def images(n=90):
    torch.manual_seed(1)
    labels = torch.arange(n) % 3
    return torch.randn(n, 1, 6, 6) + labels[:, None, None, None], labels


def batches(x, labels, size=20):
    return [(x[k : k + size], labels[k : k + size]) for k in range(0, len(x), size)]


def made(kind):
    torch.manual_seed(0)
    return kind()


def features_of(model, x, module, of_input, reduce, batch=20):
    """Twin: every feature at once, by a hook of its own, in the same batches."""
    kept = []
    target = dict(model.named_modules())[module]
    hook = target.register_forward_hook(
        lambda m, given, value: kept.append((given[0] if of_input else value).detach().clone())
    )
    logits = []
    model.eval()
    with torch.no_grad():
        logits = [model(part) for part, _ in batches(x, torch.zeros(len(x)), batch)]
    hook.remove()
    model.train()
    return reduce(torch.cat(kept).double()).numpy(), torch.cat(logits).double().numpy()


CASES = {
    "conv1": (Net, "conv1", "pool", lambda v: v.mean(dim=(2, 3)), False),
    "relu2": (Net, "relu2", "flatten", lambda v: v.flatten(1), False),
    "input of fc": (Net, "fc", None, lambda v: v, True),
    "block": (Block, "block", "mean token", lambda v: v.mean(dim=1), False),
    "block.linear1": (Block, "block.linear1", "last token", lambda v: v[:, -1], False),
}


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "autocast"])
@pytest.mark.parametrize("layer", CASES)
def test_what_is_recorded_is_what_all_features_give(layer, precision):
    kind, module, reduce, twin, of_input = CASES[layer]
    model, (x, labels) = made(kind), images()
    if kind is Block:
        x = torch.randn(90, 5, 8) + labels[:, None, None]
    if precision == "bfloat16":
        model, x = model.bfloat16(), x.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "autocast"):
        found = kc.torch.record(model, batches(x, labels), layer, reduce=reduce)
        features, logits = features_of(model, x, module, of_input, twin)
    weights = bias = None
    if layer == "input of fc":
        weights, bias = (p.detach().double().numpy() for p in (model.fc.weight, model.fc.bias))
    expected = kc.collapse_from_features(features, labels.numpy(), classifier=weights, bias=bias)
    metrics = ["nc1", "within", "between", "nc1_pinv", "cdnv", "nc2_norms", "nc2_etf"]
    metrics += ["nc3", "nc3_cosine"] if weights is not None else []
    for metric in metrics:
        assert getattr(found[layer], metric) == pytest.approx(getattr(expected, metric), rel=SAME), metric
    means = np.array([features[labels.numpy() == c].mean(axis=0) for c in range(3)])
    nearest = ((features[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert found[layer].ncm_accuracy == np.mean(nearest == labels.numpy())
    assert found[layer].nc4 == np.mean(nearest == logits.argmax(axis=1))
    assert found[layer].accuracy == np.mean(logits.argmax(axis=1) == labels.numpy())
    assert found.counts.tolist() == [30, 30, 30]


def test_autocast_can_be_asked_for():
    model, (x, labels) = made(Net), images()
    found = kc.torch.record(model, batches(x, labels), "conv1", reduce="pool", autocast=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        around = kc.torch.record(model, batches(x, labels), "conv1", reduce="pool")
    plain = kc.torch.record(model, batches(x, labels), "conv1", reduce="pool")
    assert found["conv1"].nc1 == around["conv1"].nc1 != plain["conv1"].nc1


@pytest.mark.parametrize("raises", [False, True])
def test_everything_is_as_before(raises):
    model, (x, labels) = made(Net), images()
    model.conv2.eval()
    flags = {name: module.training for name, module in model.named_modules()}
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, labels), batch_size=20, shuffle=True
    )
    if raises:
        with pytest.raises(kc.InputError, match="features of shape"):
            kc.torch.record(model, loader, "conv1")
        with pytest.raises(RuntimeError):
            kc.torch.record(model, [(x[:, :, :2, :2], labels)], BEFORE)
    else:
        kc.torch.record(model, loader, ["**", "!unused", "!drop"], reduce="pool")
    assert {name: module.training for name, module in model.named_modules()} == flags
    assert not any(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_names_patterns_and_the_last_layer():
    model, (x, labels) = made(Net), images()
    loader = batches(x, labels)
    found = kc.torch.record(model, loader, ["all activations", "conv*", "!conv2", BEFORE], reduce="pool")
    assert list(found) == ["relu1", "relu2", "conv1", "input of fc"]
    assert found.classifier == "fc"
    # what the network pools itself is what the last layer is given
    assert found["relu2"].nc3 == pytest.approx(found["input of fc"].nc3, rel=1e-4)
    assert np.isnan(found["conv1"].nc3)
    free = kc.torch.record(model, loader, "relu2", reduce="pool", classifier=False, n_classes=3)
    assert free.classifier == ""
    assert np.isnan(free["relu2"].nc4)
    wrapped = kc.torch.record(nn.DataParallel(model), loader)
    assert list(wrapped) == ["input of fc"]


def test_dicts_and_functions():
    model, (x, labels) = made(Net), images()
    expected = kc.torch.record(model, batches(x, labels))["input of fc"].nc1
    named = [{"x": part, "labels": of} for part, of in batches(x, labels)]
    assert kc.torch.record(model, named)["input of fc"].nc1 == expected
    three = [(part, 0, of) for part, of in batches(x, labels)]
    assert kc.torch.record(model, three, split=lambda b: (b[0], b[2]))["input of fc"].nc1 == expected
    own = kc.torch.record(model, batches(x, labels), "relu2", reduce={"relu2": lambda v: v.mean(dim=(2, 3))})
    assert own["relu2"].nc1 == pytest.approx(expected, rel=1e-5)


def test_one_pass_with_the_means_of_a_record_before():
    model, (x, labels) = made(Net), images()
    loader = batches(x, labels)
    first = kc.torch.record(model, loader)
    again = kc.torch.record(model, iter(loader), decide=first)
    none = kc.torch.record(model, iter(loader), decide="none")
    assert again["input of fc"].nc4 == first["input of fc"].nc4
    assert (first.decided, again.decided, none.decided) == (
        "second pass",
        "class means of a record before",
        "not decided",
    )
    assert np.isnan(none["input of fc"].nc4)
    assert none["input of fc"].nc1 == first["input of fc"].nc1


def test_a_class_that_is_never_seen_is_left_out():
    model, (x, labels) = made(Net), images()
    found = kc.torch.record(model, batches(x, labels.clamp(max=1)))
    assert "classes without a sample are left out: 2" in found["input of fc"].reason
    assert np.isnan(found.means_of("input of fc")[2]).all()
    again = kc.torch.record(model, batches(x, labels.clamp(max=1)), decide=found)
    assert again["input of fc"].ncm_accuracy == found["input of fc"].ncm_accuracy


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu, self.fc = nn.ReLU(), nn.Linear(36, 3)

    def forward(self, x):
        return self.fc(self.relu(self.relu(x)).flatten(1))


def with_nan():
    x, labels = images()
    x[45, 0, 0, 0] = float("nan")
    return batches(x, labels)


def changing(x, labels):
    return [(x[:20], labels[:20]), (x[20:40, :, :5], labels[20:40])]


BAD = {
    "unknown layer": (lambda m, b: kc.torch.record(m, b, "conv3"), "did you mean 'conv"),
    "unknown, none close": (lambda m, b: kc.torch.record(m, b, "zzzz"), "there are 'conv1', 'relu1'"),
    "never called": (lambda m, b: kc.torch.record(m, b, "unused"), "layer 'unused' is never called"),
    "called twice": (lambda m, b: kc.torch.record(made(Twice), b, "relu"), "layer 'relu' is called 2 times"),
    "changing width": (
        lambda m, b: kc.torch.record(m, changing(*images()), "conv1", reduce="flatten"),
        r"features \(layer 'conv1', batch 1\) have 120 columns, expected 144",
    ),
    "label too large": (
        lambda m, b: kc.torch.record(m, [(x, y + 1) for x, y in b]),
        r"labels \(batch 0\) hold 3, expected whole numbers from 0 to 2",
    ),
    "no labels": (lambda m, b: kc.torch.record(m, [x for x, _ in b]), "is a Tensor without labels"),
    "three parts": (lambda m, b: kc.torch.record(m, [(x, x, y) for x, y in b]), "is a tuple of 3"),
    "empty": (lambda m, b: kc.torch.record(m, []), "the loader is empty"),
    "read once": (lambda m, b: kc.torch.record(m, iter(b)), "the loader is an iterator"),
    "nan": (
        lambda m, b: kc.torch.record(m, with_nan()),
        r"layer 'input of fc', batch 2\) holds nan in row 5",
    ),
    "no reduction": (lambda m, b: kc.torch.record(m, b, "conv1"), "say what becomes of them by reduce="),
    "wrong reduction": (lambda m, b: kc.torch.record(m, b, "conv1", reduce="avg"), "reduce is 'avg'"),
    "of no token": (lambda m, b: kc.torch.record(m, b, "conv1", reduce="mean token"), "'mean token'"),
    "meta": (lambda m, b: kc.torch.record(m.to("meta"), b), "the model is on the meta device"),
    "several devices": (
        lambda m, b: kc.torch._batches.device_of(Spread(), alone=True),
        "the model is on cpu and cuda:0, expected one device",
    ),
    "another number of classes": (
        lambda m, b: kc.torch.record(m, b, n_classes=4),
        "'fc' has 3 outputs, expected 4",
    ),
    "no classifier": (
        lambda m, b: kc.torch.record(m, b, classifier=False, n_classes=3),
        "has no linear layer",
    ),
    "classes unknown": (
        lambda m, b: kc.torch.record(m, b, "conv1", reduce="pool", classifier=False),
        "n_classes is not given",
    ),
    "no model": (lambda m, b: kc.torch.record(abs, b), "model is of type builtin_function_or_method"),
    "other layers before": (
        lambda m, b: kc.torch.record(m, b, "relu2", reduce="pool", decide=kc.torch.record(m, b)),
        "has no layer 'relu2'",
    ),
    "autocast": (lambda m, b: kc.torch.record(m, b, autocast="half"), "autocast is 'half'"),
    "layers of no kind": (lambda m, b: kc.torch.record(m, b, 3), "layers is 3"),
    "option": (lambda m, b: kc.torch.Callback(b, layer="fc"), "an option of Callback is 'layer'"),
}


class Spread(nn.Module):
    """A model of which one parameter says that it is elsewhere, as on a machine with an accelerator."""

    def parameters(self, recurse=True):
        return [type("P", (), {"device": device}) for device in ("cpu", "cuda:0")]


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_in_a_sentence(kind):
    call, sentence = BAD[kind]
    with pytest.raises(kc.InputError, match=sentence) as refused:
        call(made(Net), batches(*images()))
    assert str(refused.value).endswith((".", "?"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("place", ["first batch", "every sample", "later batch"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("layers", ["relu2", "before the last linear layer"])
def test_inputs_that_are_not_finite_are_named_by_layer_and_batch(place, value, layers):
    """Also where the choice of the classifier, which is made on the first batch, meets them."""
    x, labels = images()
    x[{"first batch": slice(3, 4), "every sample": slice(None), "later batch": slice(23, 24)}[place]] = value
    number = place == "later batch"
    with pytest.raises(
        kc.InputError, match=rf"^features \(layer '.*', batch {number:d}\) holds? (nan|-?inf) "
    ):
        kc.torch.record(made(Net), batches(x, labels), layers, reduce={"relu2": "pool"})
    for tangent in (True, False):
        with pytest.raises(kc.InputError, match=r"^features of layer '.*' holds? (nan|-?inf) in row"):
            kc.torch.compare(
                made(Net), batches(x, labels), [], layers=layers, reduce={"relu2": "pool"}, tangent=tangent
            )


def test_outputs_that_are_not_finite_are_named():
    model, loader = made(Net), batches(*images())
    with torch.no_grad():
        model.fc.weight[1, 1] = float("nan")
    with pytest.raises(kc.InputError, match=r"^logits \(batch 0\) holds? nan in row 0, column 1"):
        kc.torch.record(model, loader)
    assert np.isfinite(
        kc.torch.record(model, loader, classifier=False, n_classes=3, layers="input of fc")["input of fc"].nc1
    )

    class Spoilt(Net):
        def forward(self, x):
            return super().forward(x) * float("nan")

    with pytest.raises(kc.InputError, match="^the output of the model is NaN for every sample"):
        kc.torch.record(made(Spoilt), loader)

    class Some(Net):
        def forward(self, x):
            found = super().forward(x)
            return torch.where(torch.arange(len(found))[:, None] == 3, float("nan"), found)

    assert kc.torch.record(made(Some), loader).classifier == "fc"


def test_a_batch_of_another_precision_than_the_weights():
    """The error is PyTorch's own, and a note says what to convert; other errors have no note."""
    model, (x, labels) = made(Net), images()
    for call in (
        lambda: kc.torch.record(model, [(x.double(), labels)]),
        lambda: kc.torch.compare(model, [(x.double(), labels)], []),
        lambda: kc.torch.empirical_ntk(model, x.double()),
        lambda: kc.torch.agop(model, x.double()),
    ):
        with pytest.raises(RuntimeError) as raised:
            call()
        (note,) = raised.value.__notes__
        assert note.startswith(
            "The batch holds float64 and the weights of the model are float32: convert one"
        )
    with pytest.raises(RuntimeError) as raised:
        kc.torch.record(model, [(x[:, :, :1, :1, None], labels)])
    assert not hasattr(raised.value, "__notes__")


def test_names_that_a_result_does_not_have():
    """A `KeyError`, as of any mapping, whose sentence lists the names, the nearest first."""
    model, loader = made(Net), batches(*images())
    record = kc.torch.record(model, loader, ["relu1", "relu2", "input of fc"], reduce="pool")
    compared = kc.torch.compare(model, loader)
    for found, name, sentence in (
        (record, "relu", "layer is 'relu', expected one of 'relu2', 'relu1', 'input of fc'."),
        (record, "9", "layer is '9', expected one of 'relu1', 'relu2', 'input of fc'."),
        (record, 0, "layer is 0, expected one of 'relu1', 'relu2', 'input of fc'."),
        (compared, "ntk (relu)", None),
    ):
        with pytest.raises(KeyError) as raised:
            found[name]
        assert isinstance(raised.value, kc.InputError)
        assert sentence in (None, str(raised.value))
        assert all(repr(known) in str(raised.value) for known in found)
        assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
        assert name not in found
        assert found.get(name) is None
    with pytest.raises(kc.InputError, match="layer is 'relu', expected one of 'relu2'"):
        record.means_of("relu")


def test_sums_that_do_not_fit_are_refused_before_any_work(monkeypatch):
    from kernel_collapse import _memory

    monkeypatch.setattr(_memory, "available", lambda: 1e5)
    with pytest.raises(kc.InputError, match="takes .* expected at most .*metrics='traces'"):
        kc.torch.record(made(Net), batches(*images()), "conv1", reduce="flatten")


def test_progress_counts_both_passes(capsys):
    model, loader, seen = made(Net), batches(*images()), []
    kc.torch.record(model, loader, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 10) for k in range(1, 11)]
    kc.torch.record(model, loader, progress=True)
    assert capsys.readouterr().err.endswith("10/10 batches\n")


def test_functions_are_recorded_as_models_are():
    model, (x, labels) = made(Net), images()
    expected = kc.torch.record(model, batches(x, labels))["input of fc"]
    weights, bias = model.fc.weight.detach(), model.fc.bias.detach()

    def function(x):
        with torch.no_grad():
            h = model.relu2(model.conv2(model.relu1(model.conv1(x)))).mean(dim=(2, 3))
            return {"h": h}, model.fc(h)

    found = kc.record(function, batches(x, labels), n_classes=3, classifier=weights, bias=bias)
    for metric in ("nc1", "nc3", "nc4", "accuracy"):
        assert getattr(found["h"], metric) == getattr(expected, metric)
    with pytest.raises(kc.InputError, match="batch 0 is .* expected a pair"):
        kc.record(function, [x], n_classes=3)
    with pytest.raises(kc.InputError, match="the loader is empty"):
        kc.record(function, [], n_classes=3)


# -- while it trains


def test_a_callback_in_a_loop(tmp_path):
    model, loader = made(Net), batches(*images())
    callback = kc.torch.Callback(loader, epochs=2, decide="previous", path=tmp_path / "run.npz")
    assert [callback(model, epoch) is not None for epoch in range(4)] == [True, False, True, False]
    history = callback.history
    assert history.epochs == (0, 2)
    assert [one.decided for one in history] == ["second pass", "class means of a record before"]
    assert history[0].class_means == {}
    again = kc.History.load(tmp_path / "run.npz")
    assert again.epochs == history.epochs
    assert again.to_frame().equals(history.to_frame())
    assert np.array_equal(again[1].means_of("input of fc"), history[1].means_of("input of fc"))
    assert history.values("nc1")["input of fc"] == [one["input of fc"].nc1 for one in history]
    with pytest.raises(kc.InputError, match="epoch is 2, expected more than 2"):
        history.append(history[1], 2)
    with pytest.raises(kc.InputError, match="has no class means"):
        history[0].means_of("input of fc")
    (tmp_path / "other.npz").write_bytes(b"none")
    with pytest.raises(kc.InputError, match="holds no history"):
        kc.History.load(tmp_path / "other.npz")


class Lightning:
    """What Lightning's documented trainer loop does with callbacks; Lightning itself is not among our dependencies."""

    def __init__(self, callbacks, epochs):
        self.callbacks, self.epochs, self.current_epoch = callbacks, epochs, 0

    def call(self, hook, *arguments):
        for callback in self.callbacks:
            getattr(callback, hook)(self, *arguments)

    def fit(self, model):
        self.call("setup", model, "fit")
        self.call("on_train_start", model)
        for epoch in range(self.epochs):
            self.current_epoch = epoch
            self.call("on_train_batch_start", model, None, 0)
            self.call("on_train_epoch_end", model)
        assert [callback.state_dict() for callback in self.callbacks] == [{}]
        self.call("teardown", model, "fit")


def test_a_callback_by_the_hooks_of_trainers():
    """Against stand-ins of the documented protocols: neither package is installed here."""
    model, loader = made(Net), batches(*images())
    callback = kc.torch.Callback(loader, epochs=[0, 2])
    Lightning([callback], 3).fit(model)
    assert callback.history.epochs == (0, 2)
    assert model.training
    callback = kc.torch.Callback(loader, history=callback.history)
    for event, epoch in [
        ("on_init_end", 0),
        ("on_train_begin", 0),
        ("on_epoch_end", 1.0),
        ("on_epoch_end", 3.0),
    ]:
        state = type("State", (), {"epoch": epoch})()
        assert getattr(callback, event)(None, state, None, model=model, optimizer=None) is None
    assert callback.history.epochs == (0, 2, 3)
    with pytest.raises(AttributeError):
        _ = callback.something


# -- several processes


def process(rank, port, folder):
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    model, (x, labels) = made(Net).double(), images()
    x = x.double()
    wrapped = nn.parallel.DistributedDataParallel(model)
    mine = slice(0, 50) if rank == 0 else slice(50, 90)
    history = kc.History()
    found = kc.torch.record(wrapped, batches(x[mine], labels[mine], 15), ["relu2", BEFORE], reduce="pool")
    history.append(found, 0)
    history.save(f"{folder}/{rank}.npz")
    try:
        kc.torch.record(wrapped, batches(x[mine], labels[mine] + rank))
    except (ValueError, RuntimeError) as error:
        with open(f"{folder}/{rank}.txt", "w") as file:
            file.write(f"{type(error).__name__}: {error}")
    torch.distributed.barrier()
    os._exit(0)  # all is written; PyTorch's threads, which may abort when Python ends, are not what is tested


def test_several_processes_equal_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.multiprocessing.spawn(process, (port, tmp_path), nprocs=2)
    x, labels = images()
    expected = kc.torch.record(
        made(Net).double(), batches(x.double(), labels), ["relu2", BEFORE], reduce="pool"
    )
    tables = [kc.History.load(tmp_path / f"{rank}.npz").to_frame() for rank in range(2)]
    assert tables[0].equals(tables[1])
    numbers = expected.to_frame().drop(columns=["layer", "reason"])
    np.testing.assert_allclose(tables[0][numbers.columns].astype(float), numbers.astype(float), rtol=1e-9)
    assert tables[0]["ncm_accuracy"].tolist() == [one.ncm_accuracy for one in expected.values()]
    said = [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)]
    assert said[0].startswith("RuntimeError: process 1 failed to record: InputError: labels (batch 0) hold 3")
    assert said[1].startswith("InputError: labels (batch 0) hold 3")


class Heads(nn.Module):
    """A model whose output is made of two linear layers of one shape, by a function."""

    def __init__(self, out):
        super().__init__()
        self.first, self.second, self.out = nn.Linear(4, 3), nn.Linear(4, 3), out

    def forward(self, x):
        return self.out(self.second(x), self.first(x))


@pytest.mark.parametrize(
    ("out", "classifier"),
    [
        (lambda a, b: b, "first"),
        (lambda a, b: torch.log_softmax(b / 3.0, dim=1), "first"),
        (lambda a, b: -b, ""),
        (lambda a, b: a, ""),
        (lambda a, b: (a, b), None),
        (lambda a, b: {"main": b, "auxiliary": a}, None),
    ],
)
def test_a_classifier_decides_what_the_model_decides(out, classifier):
    torch.manual_seed(0)
    model, labels = Heads(out), torch.arange(60) % 3
    loader = [(torch.randn(60, 4), labels)]
    if classifier is None:
        with pytest.raises(ValueError, match="returns 2 outputs of shape .60, 3., any of which may decide"):
            kc.torch.record(model, loader, ["first"])
        assert kc.torch.record(model, loader, ["first"], classifier="first").classifier == "first"
        return
    found = kc.torch.record(model, loader, ["input of first"], n_classes=3)
    assert found.classifier == classifier
    layer = found["input of first"]
    if classifier:
        right = (model(loader[0][0]).argmax(dim=1) == labels).double().mean()
        assert layer.accuracy == pytest.approx(float(right))
    else:
        assert np.isnan(layer.accuracy)
