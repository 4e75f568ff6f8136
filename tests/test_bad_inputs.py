"""Whatever is given, what is wrong with it is said in one sentence, before any work, and nothing is written."""

import pickle
import warnings

import jax
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array

import kernel_collapse as kc
from conftest import refuse
from kernel_collapse import cli, measure

NAN, INF = float("nan"), float("inf")
X = np.random.default_rng(0).normal(size=(8, 2))
Y = [0, 1] * 4
T = np.array([-1.0, 1.0] * 4)
K = X @ X.T
HOLE = np.where(np.arange(16).reshape(8, 2) == 5, NAN, X)
TEXT = np.array([[1, "a"]] * 8, dtype=object)
DATES = np.array([["2020-01-01"]] * 8, dtype="M8[D]")


def data():
    return kc.data.from_arrays(X, Y)


def mixture():
    return kc.theory.gaussian_mixture(3)


#: What is called, with what, and a part of the sentence that refuses it.
API = [
    # Arrays
    ("nngp", lambda: kc.nngp(HOLE), "x holds nan in row 2, column 1, expected finite numbers"),
    ("nngp", lambda: kc.nngp(X + 1j), "x has entries of type complex128, expected real numbers"),
    ("nngp", lambda: kc.nngp(TEXT), "x has entries of type str, expected real numbers"),
    ("nngp", lambda: kc.nngp(DATES), "expected real numbers"),
    ("nngp", lambda: kc.nngp([[1.0, 2.0], [3.0]]), "x has rows of different lengths"),
    (
        "nngp",
        lambda: kc.nngp(X[:, 0]),
        "x has shape (8,), expected two dimensions (samples, features): try x.reshape",
    ),
    ("nngp", lambda: kc.nngp(X[:0]), "x has shape (0, 2), expected at least one row"),
    ("nngp", lambda: kc.nngp(None), "x is None, expected an array of numbers"),
    ("nngp", lambda: kc.nngp("table.csv"), "x is the text 'table.csv', expected an array of numbers"),
    ("nngp", lambda: kc.nngp(X, X[:, :1]), "x has 2 features and x_other has 1, expected the same number"),
    ("nngp", lambda: kc.nngp(X * 1e200), "the kernel is not finite"),
    ("nngp", lambda: kc.nngp(np.ma.array(X, mask=X > 1)), "x is a masked array, whose mask would be ignored"),
    ("nngp", lambda: kc.nngp(csr_array(X)), "x is a sparse matrix, expected a dense array: give x.toarray()"),
    ("nngp", lambda: kc.nngp([[10**400, 1]]), "which is beyond the largest float64"),
    ("nngp", lambda: kc.nngp(data()), "x is a Dataset, expected its inputs: give dataset.x."),
    ("nngp", lambda: kc.nngp({"a": X}), "x is a mapping from keys to values"),
    ("nngp", lambda: kc.nngp(set(X.ravel())), "x is a set, which has no order"),
    ("nngp", lambda: kc.nngp(row for row in X), "x is a generator or iterator"),
    ("nngp", lambda: kc.nngp(torch.zeros(3, 2, device="meta")), "a tensor without values"),
    ("nngp", lambda: kc.nngp(pd.DataFrame({"a": [1.0, 2], "b": ["u", "v"]})), "not numeric ('b')"),
    ("nngp", lambda: kc.nngp(X[:, :1].astype("M8[ns]")), "expected real numbers"),
    ("nngp", lambda: kc.nngp(np.zeros((10**7, 1))), "expected at most the"),
    (
        "nngp",
        lambda: kc.nngp(X, depth=10**30),
        "depth is 1000000000000000000000000000000, expected a whole number",
    ),
    ("sampled", lambda: jax.jit(lambda x: kc.sampled_nc1(x, Y).ratio)(X), "x is traced by JAX"),
    ("adaptive", lambda: jax.grad(lambda x: kc.solve_adaptive(x, T).residual)(X), "x is traced by JAX"),
    ("ntk", lambda: kc.ntk(X * INF), "expected finite numbers"),
    ("nc1", lambda: kc.nc1(K[:6], Y), "expected a square matrix of all pairs"),
    ("nc1", lambda: kc.nc1(K[:6, :6], Y), "the Gram matrix has 6 rows and there are 8 labels"),
    ("nc1", lambda: kc.nc1(np.arange(64.0).reshape(8, 8), Y), "the Gram matrix is not symmetric"),
    ("nc1", lambda: kc.nc1(K + 1j, Y), "expected real numbers"),
    ("nc1", lambda: kc.nc1(K * 1e307, Y), "because sums over the samples must be finite"),
    ("nc1", lambda: kc.nc1(data(), Y), "give kernel_collapse.nngp(dataset.x)"),
    ("nc1_from_features", lambda: kc.nc1_from_features(X * 1e200, Y), "the largest entry of features is"),
    (
        "collapse_from_features",
        lambda: kc.collapse_from_features(X * 1e200, Y),
        "divide features by a number",
    ),
    ("streamed", lambda: kc.streamed_nc1(HOLE, Y), "in row 2, column 1"),
    ("sampled", lambda: kc.sampled_nc1(X + 1j, Y), "expected real numbers"),
    ("random features", lambda: kc.random_feature_nc1(X[None], Y), "x has shape (1, 8, 2)"),
    # Labels
    ("labels", lambda: kc.nc1(K, Y[:5]), "8 rows and there are 5 labels"),
    ("labels", lambda: kc.nc1(K, [0] * 8), "all 8 labels are 0, expected at least two classes"),
    ("labels", lambda: kc.nc1(K, [0, NAN] * 4), "the label of row 1 is missing"),
    ("labels", lambda: kc.nc1(K, [0, None] * 4), "the label of row 1 is missing"),
    ("labels", lambda: kc.nc1(K, None), "labels are None, expected one label a sample"),
    ("labels", lambda: kc.nc1(K, 3), "labels are 3, expected one label a sample"),
    ("labels", lambda: kc.nc1(K, np.eye(2)[Y]), "labels are nested"),
    ("labels", lambda: kc.streamed_nc1(X, []), "labels are empty"),
    ("labels", lambda: kc.sampled_nc1(X, [{}] * 8), "labels cannot be hashed"),
    ("labels", lambda: kc.nc1(K, data()), "labels are a Dataset, expected its labels: give dataset.labels."),
    ("labels", lambda: kc.nc1(K, pd.Series([None, 1] * 4, dtype="Int64")), "the label of row 0 is missing"),
    ("labels", lambda: kc.nc1(K, [0, pd.NaT] * 4), "the label of row 1 is missing"),
    (
        "labels",
        lambda: kc.nc1(K, np.array(["2020", "NaT"] * 4, dtype="M8[ns]")),
        "the label of row 1 is missing",
    ),
    ("labels", lambda: kc.nc1(K, np.ma.array(Y, mask=[0, 0, 0, 1] * 2)), "the label of row 3 is missing"),
    ("labels", lambda: kc.nc1(K, "abababab"), "labels are the text 'abababab', expected one label a sample"),
    ("labels", lambda: kc.nc1(K, dict(enumerate(Y))), "try list(labels.values())"),
    ("labels", lambda: kc.nc1(K, {0, 1}), "labels are a set, which has no order"),
    ("labels", lambda: kc.nc1(K, np.array(Y)[:, None]), "try labels.ravel()"),
    ("labels", lambda: kc.nc1(K, [[y] for y in Y]), "try numpy.asarray(labels).ravel()"),
    ("labels", lambda: kc.nc1(K, np.eye(2)[Y]), "they look one-hot, try labels.argmax(axis=1)"),
    ("labels", lambda: kc.nc1(K, pd.DataFrame({"kind": Y})), "give one of its columns, as labels['kind']"),
    ("labels", lambda: kc.nc1(K, [0, True] + [1] * 6), "labels hold truth values beside numbers"),
    ("labels", lambda: kc.nc1(K, [(0, 1), (0, True)] * 4), "labels hold truth values beside numbers"),
    # Kernels and activations
    ("depth", lambda: kc.nngp(X, depth=0), "depth is 0, expected a whole number that is at least 1"),
    ("depth", lambda: kc.nngp(X, depth=True), "depth is True, expected a whole number"),
    ("depth", lambda: kc.ntk(X, depth="3"), "depth is '3', expected a whole number"),
    ("variance", lambda: kc.ntk(X, weight_variance=0), "weight_variance is 0, expected a finite number"),
    ("variance", lambda: kc.ntk(X, bias_variance=NAN), "bias_variance is nan"),
    ("variance", lambda: kc.ntk(X, bias_variance=10**400), "expected a finite number"),
    ("kind", lambda: kc.nngp(X, kind="outputs"), "did you mean 'output'?"),
    ("dtype", lambda: kc.nngp(X, dtype="float16"), "dtype is 'float16', expected one of float64, float32"),
    ("activation", lambda: kc.nngp(X, activation="rleu"), "did you mean 'relu'"),
    ("activation", lambda: kc.nngp(X, activation="leaky_relu(nan)"), "expected"),
    ("activation", lambda: kc.nngp(X, activation=3), "expected"),
    ("activation", lambda: kc.nngp(X, activation=lambda u: u[:1]), "expected"),
    (
        "activation",
        lambda: kc.nngp(X, activation=lambda u: u + 1j),
        "expected one real number for each number",
    ),
    ("activation", lambda: kc.activations.expand(np.tanh, orders=-1), "orders is -1"),
    # Data
    ("data", lambda: kc.data.gaussian_classes(n=0), "n is 0, expected a whole number"),
    ("data", lambda: kc.data.gaussian_classes(n=10**18, dim=2), "expected at most 2^40 (8 TB)"),
    ("data", lambda: kc.data.sample("ball", n=10**18, dim=2), "expected at most 2^40 (8 TB)"),
    ("data", lambda: kc.data.gaussian_classes(n=10, class_sizes=(5, 6)), "add up to 11, expected n = 10"),
    ("data", lambda: kc.data.gaussian_classes(n=10, class_means=(1,)), "expected"),
    ("data", lambda: kc.data.sample("gausian", n=9, dim=2), "did you mean 'gaussian'"),
    ("data", lambda: kc.data.sample("xor", n=9, dim=2, sepration=3), "did you mean 'separation'"),
    ("data", lambda: kc.data.sample("xor", n=9, dim=2, class_sizes=(4, 5), imbalance=2), "both given"),
    ("data", lambda: kc.data.sample("student-t", n=9, dim=2, df="3"), "df is '3'"),
    ("data", lambda: kc.data.sample("tree", n=9, dim=2, seed=-1), "seed is -1"),
    ("data", lambda: kc.data.shipped("iris"), "expected one of digits, wine, breast-cancer"),
    ("data", lambda: kc.data.from_arrays(X, Y, targets=T[:3]), "x has 8 rows and targets 3"),
    ("data", lambda: kc.data.split(X, 0.5), "dataset is of type ndarray, expected a Dataset"),
    ("data", lambda: kc.data.subset(data(), 9), "n is 9, expected 2 to 8"),
    (
        "data",
        lambda: kc.data.standardize(X),
        "expected a Dataset: make one with kernel_collapse.data.from_arrays",
    ),
    ("data", lambda: kc.data.label_noise(None), "dataset is of type NoneType"),
    ("data", lambda: kc.data.load(3), "path is 3, expected the name of a .csv"),
    # Sizes
    ("streamed", lambda: kc.streamed_nc1(X, Y, kernel=("nngp", "nkt")), "did you mean 'ntk'"),
    ("streamed", lambda: kc.streamed_nc1(X, Y, kernel=3), "kernel is 3, expected several values in brackets"),
    ("streamed", lambda: kc.streamed_nc1(X, Y, tile=0), "tile is 0"),
    ("sampled", lambda: kc.sampled_nc1(X, Y, pairs=-1), "pairs is -1"),
    (
        "sampled",
        lambda: kc.sampled_nc1(X, Y, confidence=2),
        "confidence is 2, expected a number between 0 and 1",
    ),
    ("sampled", lambda: kc.sampled_nc1(X, Y, weighting="published"), "expected"),
    ("sampled", lambda: kc.sampled_nc1(X, Y, relative_error="small"), "relative_error is 'small'"),
    (
        "sampled",
        lambda: kc.sampled_nc1(X, Y, confidence=1e-300),
        "confidence is 1e-300, expected a number from 0.001",
    ),
    (
        "sampled",
        lambda: kc.sampled_nc1(X, Y, confidence=1 - 1e-16),
        "expected a number from 0.001 to 1 - 1e-9",
    ),
    (
        "sampled",
        lambda: kc.sampled_nc1(X, Y, relative_error=1e-300),
        "expected a share of the ratio from 1e-9 to 1",
    ),
    ("sampled", lambda: kc.sampled_nc1(X, Y, seed=2**200), "expected a whole number that is at most"),
    ("streamed", lambda: kc.streamed_nc1(X, Y, workers=10**9), "that is at most 1024"),
    ("random features", lambda: kc.random_feature_nc1(X, Y, features=1.5), "features is 1.5"),
    ("random features", lambda: kc.random_feature_nc1(X, Y, features=10**15), "expected at most the"),
    ("networks", lambda: kc.networks.initialise(2, width=10**400), "width is 1000"),
    ("networks", lambda: kc.networks.initialise(2, width=10**12), "expected at most the"),
    # Adaptive kernel
    ("adaptive", lambda: kc.solve_adaptive(X, T[:3]), "expected"),
    ("adaptive", lambda: kc.solve_adaptive(X, ["a", "b"] * 4), "expected real numbers"),
    ("adaptive", lambda: kc.solve_adaptive(X, T, width=True), "width is True, expected a finite number"),
    ("adaptive", lambda: kc.solve_adaptive(X, T, noise_variance=0), "noise_variance is 0"),
    ("adaptive", lambda: kc.solve_adaptive(X, T, label_term="exct"), "did you mean 'exact'"),
    (
        "adaptive",
        lambda: kc.solve_adaptive(X, T, anneal=3),
        "anneal is 3, expected several values in brackets",
    ),
    (
        "adaptive",
        lambda: kc.solve_adaptive(X, T, starts="nngp"),
        "starts are the text 'nngp', expected several values",
    ),
    ("adaptive", lambda: kc.solve_adaptive(X, T, starts=[]), "starts is empty, expected at least one"),
    (
        "adaptive",
        lambda: kc.solve_adaptive(X, T, raise_on_failure="no"),
        "raise_on_failure is 'no', expected True",
    ),
    ("adaptive", lambda: kc.solve_adaptive(X, T, activation="sign"), "expected"),
    # Theory
    ("theory", lambda: kc.theory.gaussian_mixture(0), "dim is 0"),
    ("theory", lambda: kc.theory.gaussian_mixture(3, class_stds=-1), "expected"),
    ("theory", lambda: kc.theory.expected_nc1(X), "mixture is of type ndarray, expected a GaussianMixture"),
    ("theory", lambda: kc.theory.expected_nc1(mixture(), class_sizes=(1, 2, 3)), "expected 2 entries"),
    ("theory", lambda: kc.theory.expected_nc1(mixture(), accuracy="high"), "accuracy is 'high'"),
    # Networks
    ("networks", lambda: kc.networks.train(X), "dataset is of type ndarray, expected a Dataset"),
    ("networks", lambda: kc.networks.train(data(), width=0), "width is 0"),
    (
        "networks",
        lambda: kc.networks.train(data(), epochs=2, probes=3),
        "probes is 3, expected several values",
    ),
    ("networks", lambda: kc.networks.train(data(), loss="mae"), "expected one of mse, cross_entropy"),
    ("networks", lambda: kc.networks.train(data(), seeds=[]), "seeds is empty"),
    ("networks", lambda: kc.networks.sample_posterior(data(), width=4, sampler="hcm"), "expected one of hmc"),
    ("networks", lambda: kc.networks.solve_mean_field(data(), width=4, accuracy=NAN), "accuracy is nan"),
    (
        "networks",
        lambda: kc.networks.empirical_ntk(None, X),
        "network is of type NoneType, expected a Network",
    ),
    # Results
    ("results", lambda: kc.results("nowhere"), "holds no results.sqlite"),
    ("results", lambda: kc.results(None), "folder is None, expected the folder of a run"),
    ("measure", lambda: measure.specify(["nkt"], ["erf"]), "did you mean 'ntk'"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with files that are good, and all that is wrong with files."""
    monkeypatch.chdir(tmp_path)
    good = "a,b,kind\n" + "1.5,2,x\n2,3,y\n3,5,x\n4,7,y\n" * 3
    lines = {
        "good.csv": good,
        "empty.csv": "",
        "header.csv": "a,b,kind\n",
        "one.csv": "a,kind\n1,x\n2,x\n",
        "text.csv": "a,b,kind\n1,red,x\n2,blue,y\n",
        "hole.csv": "a,kind\n1,x\n,y\n",
        "inf.csv": "a,kind\n1,x\ninf,y\n",
        "unlabelled.csv": "a,kind\n1,x\n2,\n",
        "twice.csv": "a,kind,kind\n1,x,0\n2,y,1\n",
        "ragged.csv": "a,kind\n1,x\n2,y,3,4\n",
        "index.csv": ",a,kind\n0,1,x\n1,2,y\n",
        "huge.csv": "a,kind\n1e300,x\n2e300,y\n1e299,x\n",
        "good.toml": '[data]\nlaw = "xor"\nn = 9\ndim = 2\n[measurement]\nkernel = "data"\n',
        "bool.toml": '[data]\nlaw = "xor"\nn = true\ndim = 2\n[measurement]\nkernel = "data"\n',
        "string.toml": '[data]\nlaw = "xor"\nn = "9"\ndim = 2\n[measurement]\nkernel = "data"\n',
        "deep.toml": "data = " + "[" * 5000 + "]" * 5000,
        "huge.toml": '[data]\nlaw = "xor"\nn = 1000000000000000000\ndim = 2\n[measurement]\nkernel = "data"\n',
        "broken.toml": "[data\nlaw =",
        "table.toml": '[data]\nlaw = "file"\npath = "junk.csv"\n[measurement]\nkernel = "data"\n',
        "folder.toml": '[data]\nlaw = "file"\npath = "folder.csv"\n[measurement]\nkernel = "data"\n',
        "noise.toml": '[data]\nlaw = "xor"\nn = 9\ndim = 2\n[measurement]\nkernel = "adaptive"\nnoise_variance = 0\n',
    }
    for name, text in lines.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "latin.csv").write_bytes("a,kind\n1,größe\n2,maß\n".encode("latin-1"))
    junk = np.random.default_rng(0).bytes(4000)
    for name in ("junk.csv", "junk.parquet", "junk.npz", "junk.npy", "junk.toml"):
        (tmp_path / name).write_bytes(junk)
    (tmp_path / "zip.npz").write_bytes(b"PK\x03\x04" + junk)
    np.savez(tmp_path / "noy.npz", x=X)
    np.savez(tmp_path / "complex.npz", x=X + 1j, labels=Y)
    np.savez(tmp_path / "short.npz", x=X, labels=Y[:3])
    np.savez(tmp_path / "layer.npz", features=X, labels=Y)
    np.save(tmp_path / "objects.npy", TEXT, allow_pickle=True)
    pd.DataFrame({"a": [1.0, 2.0], "kind": ["x", "y"], "when": pd.to_datetime(["2020", "2021"])}).to_parquet(
        tmp_path / "dates.parquet"
    )
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.sqlite").write_bytes(junk)
    return tmp_path


#: What is typed, and a part of the sentence that refuses it.
COMMANDS = [
    ("measure empty.csv", "empty.csv is empty"),
    ("measure header.csv --label kind", "header.csv has 0 rows"),
    ("measure one.csv --label kind", "all 2 labels are 'x', expected at least two classes"),
    ("measure text.csv --label kind", "text.csv has columns that are not numeric ('b')"),
    (
        "measure hole.csv --label kind",
        "x holds '', an empty field, in line 3 (row 1, counted from 0), column 'a' of hole.csv",
    ),
    (
        "measure inf.csv --label kind",
        "x holds 'inf' in line 3 (row 1, counted from 0), column 'a' of inf.csv",
    ),
    (
        "measure unlabelled.csv --label kind",
        "the label in line 3 (row 1, counted from 0) of unlabelled.csv is missing",
    ),
    ("measure twice.csv --label kind", "twice.csv has several columns 'kind'"),
    ("measure ragged.csv --label kind", "ragged.csv cannot be read as CSV"),
    ("measure index.csv --label kind", "has no name, expected a name for every column"),
    ("measure huge.csv --label kind", "the largest entry of x is 2e+300, expected less than"),
    ("measure latin.csv --label kind", "latin.csv cannot be read as CSV"),
    (
        "measure good.csv",
        "label is 'label', which is not a column of good.csv, expected the column of classes: choose from 'a', 'b'",
    ),
    ("measure good.csv --label a,b", "label is 'a,b', which is not a column of good.csv"),
    ("measure junk.csv", "junk.csv cannot be read as CSV"),
    ("measure junk.parquet", "junk.parquet cannot be read as PARQUET"),
    ("measure junk.npz", "junk.npz cannot be read"),
    ("measure zip.npz", "zip.npz cannot be read"),
    ("measure junk.npy --label junk.npy", "junk.npy cannot be read"),
    ("measure objects.npy --label objects.npy", "objects.npy cannot be read"),
    ("measure noy.npz", "noy.npz has no labels under a name that is known"),
    ("measure complex.npz", "expected real numbers"),
    ("measure short.npz", "x has 8 rows and there are 3 labels"),
    ("measure dates.parquet --label kind", "columns that are not numeric ('when')"),
    ("measure folder.csv", "'folder.csv' is a folder, expected"),
    ("measure good.toml", "the ending of 'good.toml' is '.toml'"),
    ("measure good.csv --label kind --holdout 0.2 --test good.csv", "both given, expected one"),
    ("measure good.csv --label kind --kernel adaptive --bias-variance 1", "expected no bias"),
    (
        "measure good.csv --label kind --kernel adaptive --depth 3 --width 9 --width 8",
        "width has 2 widths at depth 3, expected",
    ),
    ("measure good.csv --label kind --kernel adaptive --method sampled", "expected 'dense'"),
    ("measure good.csv --label kind --kernel adaptive --width nan", "width is nan"),
    ("measure good.csv --label kind --kernel adaptive --noise-variance 0", "noise_variance is 0"),
    ("measure good.csv --label kind --method sampled --weighting published", "expected"),
    ("measure good.csv --label kind --holdout nan", "holdout is nan"),
    ("measure good.csv --label kind --holdout 0.2 --seed -1", "seed is -1"),
    ("measure good.csv --label kind --seed 3", "--seed is given without --holdout"),
    ("measure --features layer.npz --seed 3", "--seed is given without --holdout"),
    ("measure --features layer.npz --depth 3", "depth belongs to kernels that are named, and none is"),
    ("measure --features layer.npz --weight-variance 3", "weight_variance belongs to kernels"),
    ("measure --features layer.npz --bias-variance 3", "bias_variance belongs to kernels"),
    ("measure --features layer.npz --activation relu", "--activation is given where no kernel is measured"),
    ("measure --features layer.npz --method sampled", "--method is 'sampled' where no kernel is measured"),
    ("measure good.csv --label kind --depth -1", "depth is -1"),
    ("measure good.csv --label kind --report page.txt", "try 'page.html'"),
    ("measure good.csv --label kind --report good.csv/page.html", "cannot be written"),
    ("measure good.csv --label kind --activation polynomial(", "expected"),
    ("reproduce limiting", "did you mean"),
    ("reproduce --preset fast", "--preset is 'fast', expected one of quick, paper"),
    ("reproduce --workers -1", "--workers is -1"),
    ("reproduce --out good.csv", "good.csv"),
    ("reproduce --out folder.csv/../good.csv/run", "cannot be written"),
    ("run junk.toml", "junk.toml is not text"),
    ("run broken.toml", "broken.toml is not TOML ("),
    ("run bool.toml", "line 3, [[data]] 1: n is True"),
    ("run string.toml", "line 3, [[data]] 1: n is '9', expected a number: write it without quotation marks"),
    ("run deep.toml", "deep.toml has too many brackets within brackets"),
    ("run huge.toml", "expected at most 2^40"),
    ("run table.toml", "line 3, [[data]] 1: junk.csv cannot be read as CSV"),
    ("run folder.toml", "line 3, [[data]] 1: 'folder.csv' is a folder"),
    ("run noise.toml", "noise_variance is 0"),
    ("run good.csv", "good.csv is not TOML"),
    ("run good.toml --workers 0", "--workers is 0"),
    ("run good.toml --out run", "expected"),
    ("init good.toml", "is there already, expected a new file"),
    ("init sweep", "try sweep.toml"),
    ("init folder.csv/deep/sweep.toml", "cannot be written"),
    ("results .", "holds no results.sqlite"),
    ("results run", "expected"),
    ("results good.csv", "holds no results.sqlite"),
    ("report run", "expected"),
    ("report folder.csv", "holds no results.sqlite"),
    ("report run --open-questions questions.txt", "expected"),
]


def files(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(("typed", "said"), COMMANDS, ids=[typed for typed, _ in COMMANDS])
def test_the_command_line_refuses(typed, said, here, monkeypatch, capsys):
    before = files(here)
    message = refuse(monkeypatch, capsys, *typed.split())
    assert said in message
    assert "Traceback" not in message
    assert files(here) == before


@pytest.mark.parametrize(
    ("call", "said"), [(c, s) for _, c, s in API], ids=[f"{i} {what}" for i, (what, _, _) in enumerate(API)]
)
def test_the_library_refuses(call, said, tmp_path, monkeypatch, unchecked):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kc.InputError) as refused:
            call()
    message = str(refused.value)
    assert refused.value.what
    assert refused.value.given
    assert refused.value.expected
    assert str(pickle.loads(pickle.dumps(refused.value))) == message
    assert said in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "typed",
    [
        "measure",
        "measure good.csv --label",
        "measure good.csv --depth deep",
        "measure good.csv --colour red",
        "run",
        "reproduce --workers many",
        "report",
        "results run --to",
        "dance",
    ],
)
def test_what_cannot_be_parsed_is_a_usage_error(typed, here, monkeypatch, capsys):
    before = files(here)
    monkeypatch.setattr("sys.argv", ["kernel-collapse", *typed.split()])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert "Error" in captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert files(here) == before
