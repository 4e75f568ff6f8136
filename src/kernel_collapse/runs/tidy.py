"""The rows of a run as a tidy table, with what each column means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel_collapse import _extras, _validate
from kernel_collapse._files import atomic_write
from kernel_collapse._input_error import InputError
from kernel_collapse._text import encodable, for_csv
from kernel_collapse.collapse import WEIGHTINGS
from kernel_collapse.data import catalogue
from kernel_collapse.runs.laws import data_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from kernel_collapse.runs.store import Row
    from kernel_collapse.runs.trials import Trial

__all__ = ["DATA", "MEASUREMENT", "OUTCOME", "describe_columns", "export", "tabulate"]

#: Options of a measurement whose names are those of results: here they are called otherwise.
_RENAMED = {"loss": "loss_function", "accuracy": "target_accuracy"}

#: What the columns of data hold, with their units; those of an option of a law, "data_" and its name, are the law's.
DATA = {
    "data": ("law or table, with the options that are not the default", ""),
    "n": ("samples", "samples"),
    "dim": ("features", "features"),
    "class_sizes": ("samples of each class, where they were asked for", "samples"),
    "seed": ("seed of the samples, and of what is random in the measurement", ""),
    "data_law": ("name of the law", ""),
    "data_name": ("name of the table that comes with scikit-learn", ""),
    "data_label": ("column of classes", ""),
    "data_features": ("array of features, where it was named", ""),
    "data_header": ("whether the first line of the file holds names, where it was said", ""),
    "data_standardized": ("whether every feature has mean 0 and standard deviation 1", ""),
    "data_sha256": ("SHA-256 of the file", ""),
    "data_n_classes": ("classes", "classes"),
    "data_imbalance": ("largest class over the smallest", ""),
    "data_separation": ("distance between classes, as the law defines it", "features"),
    "data_std": ("standard deviation of a feature within a class", "features"),
    **{f"data_{name}": said for law in catalogue.ALL for name, said in law.columns.items()},
}
MEASUREMENT = {
    "kernel": ("what is measured: a kernel, or the features of a network", ""),
    "activation": ("activation function", ""),
    "depth": ("hidden layers, or convolutions", "layers"),
    "weight_variance": ("prior variance of a weight, times its fan-in", ""),
    "bias_variance": ("prior variance of a bias", ""),
    "filter_size": ("height and width of the filter of a convolution", "pixels"),
    "padding": ("what a convolution puts around an image", ""),
    "pool": ("side of the average pool after each activation; 1 is none", "pixels"),
    "holdout": ("share of the samples that is held out, and measured besides", ""),
    "readout_variance": ("prior variance of a readout weight, times the width", ""),
    "noise_variance": ("variance of the noise of the targets", "targets squared"),
    "width": ("hidden units of a layer", "units"),
    "fitted": ("kernel that every layer of a deep RFM fits", ""),
    "bandwidth": ("bandwidth of that kernel, for rows of unit length", ""),
    "ridge": ("number that is added to the diagonal of that kernel", ""),
    "fits": ("fits of each layer of a deep RFM", ""),
    "targets": ("targets of the data, or one-hot ones of -1 and 1", ""),
    "constant": ("constant feature beside those of the data", "features"),
    "label_term": ("term of the labels in the equations of state", ""),
    "starts": ("starts of the solver", ""),
    "target_accuracy": ("relative Monte Carlo error of NC1 that was requested", ""),
    "sampler": ("sampler of the posterior", ""),
    "chains": ("chains of the sampler", "chains"),
    "draws": ("draws of each chain", "draws"),
    "warmup": ("steps of each chain that are thrown away", "steps"),
    "parameterisation": ("scaling of the weights in training", ""),
    "epochs": ("epochs of training", "epochs"),
    "learning_rate": ("learning rate", ""),
    "weight_decay": ("weight decay", ""),
    "precision": ("floating-point numbers of training", ""),
    "loss_function": ("loss that training minimises", ""),
    "optimiser": ("method of descent", ""),
    "probes": ("epochs at which the network was measured", "epochs"),
}
_NAMES = {
    "paper": "classes weighted by size within, equally between",
    "sample": "classes by size",
    "class": "classes alike",
    "published": "as the published code weights them",
}
OUTCOME = {
    "status": ("ok, failed, or timeout: not finished within the time limit of a trial", ""),
    "message": ("why a trial failed", ""),
    "reason": ("why a number is missing or rough; nothing where all are known to a thousandth", ""),
    "seconds": ("time of the trial on one core", "s"),
    **{
        f"within_{w}": (f"tr S_W, spread within classes; {_NAMES[w]}", "features squared") for w in WEIGHTINGS
    },
    **{
        f"between_{w}": (f"tr S_B, spread between class means; {_NAMES[w]}", "features squared")
        for w in WEIGHTINGS
    },
    **{f"nc1_{w}": (f"NC1 = tr S_W / tr S_B, 0 at collapse; {_NAMES[w]}", "") for w in WEIGHTINGS},
    "held_out_nc1": (
        "spread of held-out samples about the class means of the others, over that of these means",
        "",
    ),
    "held_out_ncm_accuracy": (
        "share of the held-out samples whose nearest class mean is that of their class",
        "",
    ),
    "held_out_accuracy": ("share of the held-out samples that the network decides as labelled", ""),
    "solver": ("how the solver, sampler or training ended", ""),
    "residual": ("relative residual of the equations that were solved", ""),
    "round_off": ("residual that float64 allows", ""),
    "evaluations": ("evaluations of the free energy", ""),
    "iterations": ("iterations of the solver", ""),
    "free_energy_gain": (
        "free energy of the prior minus that of the solution, per unit; at depth 2 and more in nats",
        "",
    ),
    "largest_eigenvalue": ("largest eigenvalue of the weights' covariance, over the prior's", ""),
    "smallest_eigenvalue": ("smallest eigenvalue of the weights' covariance, over the prior's", ""),
    "smallest_pivot": ("smallest pivot of the factorised matrix", ""),
    "same_minimum": ("1 where every start ended in the same minimum", ""),
    "minima_spread": ("largest minus smallest free energy of the minima of the starts", ""),
    "layer_nc1": ("NC1 of every hidden layer, a list", ""),
    "layer_nc1_error": ("Monte Carlo standard error of layer_nc1, a list", ""),
    "layer_nc1_input": ("NC1 of the input of every layer, rows of unit length, a list", ""),
    "layer_nc1_agop": ("NC1 after the root of the average gradient outer product of every layer, a list", ""),
    "condition": ("condition number of the kernel that the last layer fits", ""),
    "training_error": (
        "root mean square of the last layer's outputs minus targets, over that of the targets",
        "",
    ),
    "training_accuracy": ("share of the samples whose output is nearest to the target of their class", ""),
    "nc1_round_off": ("estimate of the relative error of nc1_paper from round-off", ""),
    "nc1_error": ("standard error of nc1_paper", ""),
    "nc1_draws_mean": ("mean of NC1 over the draws of the network", ""),
    "nc1_draws_std": ("standard deviation of NC1 over the draws of the network", ""),
    "rhat": ("largest R-hat of the chains", ""),
    "ess": ("effective sample size", "draws"),
    "acceptance": ("share of the proposals that was accepted", ""),
    "divergences": ("trajectories that diverged", ""),
    "nc1_start": ("NC1 of the last layer before training", ""),
    "loss": ("loss at the end of training", ""),
    "accuracy": ("share of the samples that the trained network classifies as labelled", ""),
    "zero_error_epoch": ("first probe without a training error", "epochs"),
    "nc2_norms": ("coefficient of variation of the norms of the class means", ""),
    "nc2_angles": ("standard deviation of the cosines between class means", ""),
    "nc3": ("distance of classifier times class means to the simplex", ""),
    "nc3_cosine": ("cosine between classifier and class means", ""),
    "nc4": (
        "share of the samples for which the nearest class mean and the classifier choose the same class",
        "",
    ),
    "path_epochs": ("epochs of the curves, a list", "epochs"),
    "path_nc1": ("NC1 at these epochs, a list of the layers", ""),
    "path_loss": ("loss at these epochs", ""),
    "path_nc2_norms": ("nc2_norms at these epochs, a list of the layers", ""),
    "path_nc3": ("nc3 at these epochs", ""),
    "path_nc3_cosine": ("nc3_cosine at these epochs", ""),
}


def tabulate(rows: Iterable[Row], named_by: Iterable[Trial] = ()) -> pd.DataFrame:
    """Return rows of a store as a tidy table; ``frame.attrs["columns"]`` holds meaning and unit of every column.

    Columns, in this order: ``key``; the options of the data and of the measurement; ``status``, ``message``,
    ``seconds``; the results. An option keeps its column whatever the results are called. Two options are therefore
    called otherwise than in a sweep, ``loss_function`` and ``target_accuracy``; any other result that has the name of
    an option, of this or another trial, is in a column "result_" and that name. Rows whose trial is not understood
    are left out. Files have the names that they have in the trials `named_by`, if these have any; those of one name
    are called by their folders.
    """
    import pandas as pd

    understood = [(row, row.trial) for row in rows if row.trial is not None]
    name = data_names((trial.data for _, trial in understood), (trial.data for trial in named_by))
    given = pd.DataFrame(
        [{"key": row.key, **_parameters(trial, name(trial.data))} for row, trial in understood]
    )
    ended = ("status", "message", "seconds")
    taken = {"key", *DATA, *MEASUREMENT, *given.columns, *ended}
    found = pd.DataFrame(
        [
            {name: getattr(row, name) for name in ended}
            | {f"result_{name}" if name in taken else name: value for name, value in row.results.items()}
            for row, _ in understood
        ]
    )
    frame = pd.concat([given, found], axis="columns")
    known = describe_columns()
    frame.attrs["columns"] = Meanings(
        {
            name: {"meaning": known.loc[name, "meaning"], "unit": known.loc[name, "unit"]}
            if name in known.index
            else {"meaning": _meaning(name), "unit": ""}
            for name in frame
        }
    )
    return frame


class Meanings(dict[str, dict[str, str]]):
    """Meaning and unit of each column, which all tables made of one share.

    pandas copies `attrs` to the depth at every selection, which took a third of a report.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Meanings:
        return self


def describe_columns() -> pd.DataFrame:
    """Return the meanings of the columns of `results`, and their units if they have one.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.describe_columns().loc["nc1_paper", "meaning"]
    'NC1 = tr S_W / tr S_B, 0 at collapse; classes weighted by size within, equally between'
    """
    import pandas as pd

    columns = {"key": ("hash of the specification of the trial", "")} | DATA | MEASUREMENT | OUTCOME
    table = pd.DataFrame.from_dict(columns, orient="index", columns=["meaning", "unit"])
    return table.rename_axis("column")


def export(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a table of results as .csv or .parquet; lists are written as JSON.

    Raises
    ------
    ValueError
        If the ending is another, or the file cannot be written.
    """
    path = Path(path)
    kind = _validate.choice(path.suffix.lower(), (".csv", ".parquet"), f"the ending of {path.name!r}")
    plain = frame.apply(_plain)
    plain.attrs = frame.attrs
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            if kind == ".csv":
                for_csv(plain).to_csv(part, index=False, encoding="utf-8")
            else:
                _extras.require("tables", "a Parquet file", "pyarrow")
                plain.to_parquet(part, index=False)
    except OSError as error:
        raise InputError(
            f"{str(path)!r}",
            f"be written ({error.strerror})",
            "a file in a folder that can",
            "choose another",
            verb="cannot",
        ) from None
    return path


def _parameters(trial: Trial, name: str) -> dict[str, Any]:
    """Return what specifies a trial, a column a key."""
    law = trial.data.model_dump(exclude={"n", "dim", "class_sizes", "path"})
    stored = (
        trial.measurement.model_dump()
    )  # without what is younger than the first stored rows, at its default
    fields = type(trial.measurement).model_fields
    measured = {name: stored.get(name, getattr(trial.measurement, name)) for name in fields}
    below = measured.pop("base", None) or {}  # what a deep RFM stands on
    measured |= {f"base_{name}": value for name, value in below.items()}
    if trial.measurement.kernel == "data":  # the data themselves have neither
        del measured["depth"], measured["weight_variance"], measured["bias_variance"]
    return {
        "data": name,
        "n": trial.data.n,
        "dim": trial.data.dim,
        "class_sizes": trial.data.class_sizes,
        "seed": trial.seed,
        **_flat("data", law),
        **{_RENAMED.get(key, key): value for key, value in measured.items()},
    }


def _flat(prefix: str, law: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a law, those of the law that it is based on too."""
    flat: dict[str, Any] = {}
    for key, value in law.items():
        if key == "content":  # of a file: its size is known by other columns
            flat[f"{prefix}_sha256"] = value["sha256"]
        elif isinstance(value, dict):
            base = {k: v for k, v in value.items() if k not in ("n", "dim", "class_sizes", "path")}
            flat |= _flat(f"{prefix}_{key}", base)
        else:
            flat[f"{prefix}_{key}"] = value
    return flat


def _meaning(name: str) -> str:
    """Return the meaning of a column that is not in the tables above, if it can be told."""
    of_base = name.replace("data_base_", "data_")
    if of_base != name and of_base in DATA:
        return f"{DATA[of_base][0]}; of the law whose labels are flipped"
    if name.startswith("base_") and name[5:] in MEASUREMENT:
        return f"{MEASUREMENT[name[5:]][0]}; of the kernel that a deep RFM stands on"
    return "not known to this version"


def _plain(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column of one type, without lists."""
    if column.dtype != object:
        return column
    plain = column.map(
        lambda v: json.dumps(v) if isinstance(v, list | tuple) else encodable(v) if isinstance(v, str) else v
    )
    kinds = {type(value) for value in plain if not (value is None or value != value)}
    return plain.map(lambda v: v if v is None or v != v else str(v)) if len(kinds) > 1 else plain
