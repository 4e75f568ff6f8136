"""A run as it is read: one table, in which nothing takes the place of anything else."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

import kernel_collapse as kc
from kernel_collapse.runs import laws, tidy
from kernel_collapse.runs.measurements import SPECIFICATIONS
from kernel_collapse.runs.run import Run
from kernel_collapse.runs.store import FILE, DamagedRows, Store
from kernel_collapse.runs.trials import GaussianClasses, Trial

LAW = GaussianClasses(n=20, dim=3)
#: For the kernels of images.
IMAGES = laws.SPECIFICATIONS["shapes"](n=20, dim=64)


def trial(kernel, seed=0):
    activation = {"activation": "erf"} if kernel in ("nngp", "ntk", "ntk-published") else {}
    law = IMAGES if kernel.startswith("conv-") else LAW
    return Trial(data=law, measurement={"kernel": kernel, **activation}, seed=seed)


TRIALS = [trial(kernel) for kernel in SPECIFICATIONS]


@pytest.fixture
def folder(tmp_path):
    """A run of every measurement, whose results have the names of all options, and of all other columns."""
    names = {*tidy.DATA, "key", "status", "message", "seconds", "nc1_paper"}
    for specification in SPECIFICATIONS.values():
        names |= set(specification.model_fields)
    with Store(tmp_path, {"name": "test"}) as store:
        for i, one in enumerate(TRIALS):
            results = {name: float(i) for name in names}
            store.add(one, status="ok", results=results, seconds=100.0 + i)
        store.add(trial("network", 1), status="failed", message="no luck", seconds=1.0)
    return tmp_path


def test_no_result_takes_the_place_of_an_option(folder):
    frame = kc.results(folder).set_index("key")
    called = {"loss": "loss_function", "accuracy": "target_accuracy"}
    for i, one in enumerate(TRIALS):
        row = frame.loc[one.key]
        assert (row["n"], row["dim"], row["seed"], row["data_law"]) == (20, one.data.dim, 0, one.data.law)
        assert (row["status"], row["seconds"], row["nc1_paper"]) == ("ok", 100.0 + i, i)
        options = one.measurement.model_dump()
        if one.measurement.kernel == "data":
            del options["depth"], options["weight_variance"], options["bias_variance"]
        for name, value in options.items():
            found = row[called.get(name, name)]
            assert found == value or (value is None and (found is None or np.isnan(found))), name
            assert row[name if name in called else f"result_{name}"] == i, name
        for name in ("key", "data_law", "seed", "status"):
            assert frame.reset_index().loc[frame.index.get_loc(one.key), f"result_{name}"] == i


def test_columns_do_not_depend_on_which_trials_there_are(folder):
    """A result is called the same beside trials that have no option of that name."""
    alone = Run(folder).frame([trial("data").key])
    assert "width" not in alone
    assert alone["result_width"].item() == TRIALS.index(trial("data"))


def test_a_failed_trial_has_no_result_but_its_options(folder):
    failed = kc.results(folder).query("status == 'failed'")
    assert failed["loss_function"].tolist() == ["mse"]
    assert failed[["loss", "accuracy", "nc1_paper"]].isna().all(axis=None)


def test_a_row_of_another_version_is_left_out_of_the_table_and_named(folder):
    key = trial("ntk").key
    with closing(sqlite3.connect(folder / FILE)) as db, db:
        changed = "replace(specification, 'bias_variance', 'bias_invariance')"
        db.execute(f"UPDATE trials SET specification = {changed} WHERE key = ?", (key,))
    run = Run(folder)
    assert [row.key for row in run.rows if row.trial is None] == [key]
    assert not run.damaged
    with pytest.warns(DamagedRows, match=f"row {key}: left out, .*bias_invariance is not a key"):
        frame = run.frame()
    assert set(frame["key"]) == {row.key for row in run.rows} - {key}
    assert list(frame.attrs["damaged"]) == [f"row {key}"]
    assert len(run.frame([trial("nngp").key])) == 1  # nothing is said of rows that nobody asked for
