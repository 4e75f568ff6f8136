import csv
import json
import re

import numpy as np
import pytest

import kernel_collapse as kc
from conftest import ROOT
from kernel_collapse.runs import laws, measurements, sweep_file
from kernel_collapse.runs.sweep_file import Sweep, read
from kernel_collapse.runs.trials import Trial, compute

HEAD = """seeds = 2
[[data]]
law = "gaussian"
n = 20
dim = 3
"""
TAIL = """[[measurement]]
kernel = "nngp"
activation = "erf"
"""


def flowers(folder, name="flowers.csv", rows=12):
    """A table of a user's: two features, two species."""
    rng = np.random.default_rng(0)
    with (folder / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["width", "length", "species"])
        for i in range(rows):
            writer.writerow([*rng.normal(size=2), "rose" if i % 3 else "lily"])
    return folder / name


def sweep_of(tmp_path, text):
    path = tmp_path / "sweep.toml"
    path.write_text(text, encoding="utf-8")
    return read(path)[0]


def only(sweep, family="data"):
    """The one grid of a family, as dictionaries of what is not the default."""
    (grid,) = getattr(sweep, family)
    return [specification.model_dump(exclude_defaults=True) for specification in grid]


def test_every_data_set_with_every_measurement_and_seed(tmp_path):
    text = """
        seeds = [5, 7]
        [defaults.data]
        n = 20
        separation = 2.0
        [[data]]
        law = "gaussian"
        dim = [2, 8]
        [[data]]
        law = "xor"
        dim = 2
        n = 30
        [[data]]
        law = "shipped"
        name = "wine"
        [[measurement]]
        kernel = ["nngp", "ntk"]
        activation = ["erf", "silu"]
        depth = { from = 1, to = 3 }
        [[measurement]]
        kernel = "data"
    """
    sweep = sweep_of(tmp_path, text)
    expected = [
        Trial(data=data, measurement=measurement, seed=seed)
        for data in (
            laws.Gaussian(n=20, dim=2, separation=2.0),
            laws.Gaussian(n=20, dim=8, separation=2.0),
            laws.XOR(n=30, dim=2, separation=2.0),
            laws.ShippedData(name="wine", n=20),
        )
        for measurement in [
            *(
                measurements.KernelNC1(kernel=kernel, activation=activation, depth=depth)
                for kernel in ("nngp", "ntk")
                for activation in ("erf", "silu")
                for depth in (1, 2, 3)
            ),
            measurements.KernelNC1(kernel="data"),
        ]
        for seed in (5, 7)
    ]
    found = sweep.trials()
    assert {t.key for t in found} == {t.key for t in expected}
    assert len(found) == len(expected) == 4 * 13 * 2
    blocks = list(sweep.blocks())
    assert [(b.data, b.measurement, len(b.trials)) for b in blocks] == [
        (0, 0, 48),
        (0, 1, 4),
        (1, 0, 24),
        (1, 1, 2),
        (2, 0, 24),
        (2, 1, 2),
    ]
    assert Sweep.model_validate(json.loads(sweep.model_dump_json())) == sweep


def test_overlapping_entries_run_once(tmp_path):
    sweep = sweep_of(tmp_path, HEAD + TAIL + TAIL.replace('"nngp"', '["nngp", "ntk"]'))
    assert sum(len(block.trials) for block in sweep.blocks()) == 6
    assert len(sweep.trials()) == 4


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("separation = [1, 2.5]", [1, 2.5]),
        ("separation = { from = 1, to = 8, steps = 4, scale = 'log' }", [1, 2, 4, 8]),
        ("separation = { from = 0, to = 1, steps = 5 }", [0, 0.25, 0.5, 0.75, 1]),
        ("separation = { values = [3] }", [3]),
        ("dim = { from = 2, to = 5 }", [2, 3, 4, 5]),
        ("dim = { from = 1, to = 1000, steps = 4, scale = 'log' }", [1, 10, 100, 1000]),
        ("dim = { from = 1, to = 3, steps = 5 }", [1, 2, 3]),  # rounded, each once
        ("class_sizes = [5, 15]", [(5, 15)]),
        ("class_sizes = [[5, 15], [10, 10]]", [(5, 15), (10, 10)]),
        ("class_sizes = { values = [[5, 15]] }", [(5, 15)]),
        ("covariance = [1.0, 2.0, 3.0]", [(1.0, 2.0, 3.0)]),
        ("covariance = { values = ['isotropic', 'ar1(0.5)', 2.0] }", ["isotropic", "ar1(0.5)", 2.0]),
        (
            "covariance = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]",
            [((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))],
        ),
    ],
)
def test_what_is_a_grid(tmp_path, written, values):
    key = written.split()[0]
    head = "".join(line for line in HEAD.splitlines(True) if not line.startswith(f"{key} ="))
    sweep = sweep_of(tmp_path, f"{head}{written}\n{TAIL}")
    (grid,) = sweep.data
    assert [getattr(law, key) for law in grid] == values


def test_lists_of_measurements(tmp_path):
    tail = '[[measurement]]\nkernel = "adaptive"\nstarts = ["nngp", "random"]\nwidth = [10, 20]\n'
    assert [(m["starts"], m["width"]) for m in only(sweep_of(tmp_path, HEAD + tail), "measurement")] == [
        (("nngp", "random"), 10.0),
        (("nngp", "random"), 20.0),
    ]
    tail = '[[measurement]]\nkernel = "adaptive"\ndepth = 2\nwidth = [10, [30, 20]]\n'
    assert [(m["depth"], m["width"]) for m in only(sweep_of(tmp_path, HEAD + tail), "measurement")] == [
        (2, 10.0),
        (2, (30.0, 20.0)),
    ]
    for kernel in ("mean-field", "posterior"):
        tail = f'[[measurement]]\nkernel = "{kernel}"\ndepth = 2\nwidth = [10, [30, 20]]\n'
        assert [m["width"] for m in only(sweep_of(tmp_path, HEAD + tail), "measurement")] == [10, (30, 20)]
    tail = '[[measurement]]\nkernel = "adaptive"\nstarts = [\n  ["annealed"],\n  ["nngp", "random"]\n]\n'
    assert [m["starts"] for m in only(sweep_of(tmp_path, HEAD + tail), "measurement")] == [
        ("annealed",),
        ("nngp", "random"),
    ]


def test_a_law_within_a_law(tmp_path):
    text = """
        [defaults.data]
        n = 24
        [[data]]
        law = "label-noise"
        fraction = [0.1, 0.2]
        [data.base]
        law = ["gaussian", "xor"]
        dim = [2, 3]
    """
    (grid,) = sweep_of(tmp_path, text + TAIL).data
    assert {(law.fraction, law.base.law, law.dim, law.n) for law in grid} == {
        (fraction, law, dim, 24) for fraction in (0.1, 0.2) for law in ("gaussian", "xor") for dim in (2, 3)
    }
    assert len(grid) == 8


def test_one_entry_may_be_a_plain_table(tmp_path):
    assert sweep_of(tmp_path, HEAD.replace("[[data]]", "[data]") + TAIL) == sweep_of(tmp_path, HEAD + TAIL)


def test_seeds(tmp_path):
    def seeds(written):
        return sweep_of(tmp_path, HEAD.replace("seeds = 2\n", written) + TAIL).seeds

    assert seeds("") == tuple(range(10))
    assert seeds("seeds = 1\n") == (0,)
    assert seeds("seeds = [3, 1, 3]\n") == (3, 1)
    assert seeds("seeds = { from = 10, to = 12 }\n") == (10, 11, 12)


def test_a_file_of_the_users(tmp_path):
    path = flowers(tmp_path)
    text = 'seeds = 2\n[[data]]\nlaw = "file"\npath = "flowers.csv"\nlabel = "species"\nn = [4, 12]\n' + TAIL
    part, whole = sweep_of(tmp_path, text).data[0]
    assert (part.n, part.dim, part.n_classes, part.name) == (4, 2, 2, "flowers.csv(label=species)")
    table = kc.data.load(path, label="species")
    for seed in (0, 1):
        drawn = kc.data.standardize(kc.data.subset(table, 4, seed=seed))
        assert (part.sample(seed).x == drawn.x).all()
        assert (part.sample(seed).labels == drawn.labels).all()
    assert (whole.sample(0).x == whole.sample(1).x).all()
    assert whole == laws.FileData(path=str(path), label="species")  # all samples, if none is said
    raw = laws.FileData(path=str(path), label="species", standardized=False)
    assert (raw.sample(0).x == table.x).all()
    assert raw.name != whole.name


def test_the_content_of_a_file_is_what_a_trial_is_known_by(tmp_path):
    nngp = measurements.KernelNC1(kernel="nngp", activation="erf")

    def trial(path):
        return Trial(data=laws.FileData(path=str(path), label="species", n=6), measurement=nngp, seed=1)

    here = flowers(tmp_path)
    (tmp_path / "moved").mkdir()
    moved = flowers(tmp_path / "moved", "renamed.csv")
    assert trial(here).key == trial(moved).key
    first = trial(here)
    again = Trial.model_validate_json(first.model_dump_json())
    assert again == first
    flowers(tmp_path, rows=14)
    assert trial(here).key != first.key
    # A row can be read when its file has changed, or is gone; it cannot be computed.
    with pytest.raises(ValueError, match="is not the file that the trial was made for"):
        compute(first)
    here.unlink()
    assert Trial.model_validate_json(first.model_dump_json()).key == first.key
    noisy = laws.LabelNoise(base=laws.FileData(path=str(moved), label="species"))
    assert Trial(data=noisy, measurement=nngp, seed=0).key != trial(moved).key
    assert compute(Trial(data=noisy, measurement=nngp, seed=0))["nc1_paper"] > 0


@pytest.mark.parametrize("ending", ["parquet", "npz"])
def test_other_files(tmp_path, ending):
    import pandas as pd

    table = pd.read_csv(flowers(tmp_path))
    path = tmp_path / f"flowers.{ending}"
    if ending == "parquet":
        table.to_parquet(path)
    else:
        np.savez(path, x=table[["width", "length"]].to_numpy(), species=table["species"].to_numpy(dtype=str))
    law = laws.FileData(path=str(path), label="species", n=6)
    csv_law = laws.FileData(path=str(tmp_path / "flowers.csv"), label="species", n=6)
    assert (law.sample(3).x == csv_law.sample(3).x).all()


def test_the_example_and_the_docs_are_sweeps(tmp_path):
    flowers(tmp_path)
    assert len(sweep_of(tmp_path, sweep_file.EXAMPLE).trials()) == 351
    # What the example leaves out is right as well.
    uncommented = re.sub(r"^# (\[\[|\w+ = )", r"\1", sweep_file.EXAMPLE, flags=re.M).replace(
        "n = 100", "n = 10"
    )
    assert "flowers.csv(label=species)" in {t.data.name for t in sweep_of(tmp_path, uncommented).trials()}
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= 3
    for block in blocks:
        assert len(sweep_of(tmp_path, block).trials()) > 1


def lines_of(message):
    return [re.sub(r"^sweep\.toml, ", "", line) for line in message.splitlines()]


def test_every_fault_is_named_with_its_line_and_entry(tmp_path):
    text = '''title = """
[[data]]
not a header"""
seed = 3
[defaults.data]
n = 20
dims = 4

[[data]]
law = "gaussian"   # [[data]] in a comment
dim = [
  2,
  -8,
]

[[data]]
law = "gausian"

[[data]]
law = ["student-t", "gaussian"]
dim = 2
df = 3

[[data]]
law = "file"
path = "nowhere.csv"

[[measurement]]
kernel = "adaptive"
starts = [
  ["nngp"],
  ["randm"]
]
width = { from = 10, to = 1, steps = 3 }
'''
    with pytest.raises(ValueError, match="line") as caught:
        sweep_of(tmp_path, text)
    said = lines_of(str(caught.value))
    assert [line.split(":")[0] for line in said] == [
        "line 4",
        "line 7, [defaults.data]",
        "line 11, [[data]] 1",
        "line 17, [[data]] 2",
        "line 22, [[data]] 3",
        "line 26, [[data]] 4",
        "line 34, [[measurement]] 1",
    ]
    assert "did you mean 'seeds'?" in said[0]
    assert "did you mean 'dim'" in said[1]
    assert "dim is -8, expected more than 0." in said[2]
    assert "did you mean 'gaussian'" in said[3]
    assert "df is not a key of law 'gaussian', expected one that every law of the entry has" in said[4]


@pytest.mark.parametrize(
    "written",
    [
        "{ from = 1.5, to = 3.5 }",
        "{ from = 1, to = 3.5, steps = 2 }",
        "{ from = 0.5, to = 4, scale = 'log' }",
    ],
)
def test_a_range_of_whole_numbers_begins_and_ends_with_such(tmp_path, written):
    """Rounded ends would leave the range, and leave values out."""
    with pytest.raises(ValueError, match="dim runs from .*, expected whole numbers"):
        sweep_of(tmp_path, HEAD.replace("dim = 3", f"dim = {written}") + TAIL)


def test_many_faults_are_cut_short(tmp_path):
    with pytest.raises(ValueError, match="and 90 more") as caught:
        sweep_of(tmp_path, HEAD.replace("dim = 3", f"dim = {list(range(0, -100, -1))}") + TAIL)
    assert len(str(caught.value).splitlines()) == 11


def test_too_many_trials_are_refused_before_they_are_made(tmp_path):
    dims = "dim = { from = 1, to = 1000 }"
    with pytest.raises(
        ValueError, match=r"2000000 trials \(1000 data x 1 measurements x 2000 seeds\), .* 1000000"
    ):
        sweep_of(tmp_path, HEAD.replace("dim = 3", dims).replace("seeds = 2", "seeds = 2000") + TAIL)
    many = f"{dims}\nseparation = {{ from = 1, to = 2, steps = 1000000 }}"
    with pytest.raises(ValueError, match="2000000000 trials"):
        sweep_of(tmp_path, HEAD.replace("dim = 3", many) + TAIL)
