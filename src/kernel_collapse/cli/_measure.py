"""`kernel-collapse measure`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kernel_collapse._input_error import InputError
from kernel_collapse._streams import require_printed
from kernel_collapse.cli._app import say
from kernel_collapse.cli._measured import classes_of, print_measurement
from kernel_collapse.cli._steps import Steps

if TYPE_CHECKING:
    import pandas as pd

    from kernel_collapse.data import Dataset


def measure(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A .csv, .tsv, .parquet, .npz or .npy file, one sample a row.",
            show_default=False,
            metavar="FILE",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="Column or array of classes (default: 'label'; y, ...).", show_default=False, metavar="NAME"
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="Array of features of an .npz file (default: x, X, x_train, ...); or, if no "
            "table is given, the .npz file of a layer's features and labels, with classifier, bias and ood_features if "
            "it has them.",
            metavar="NAME|FILE",
        ),
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether the first line of a .csv file holds names; without names the columns "
            "are 0, 1, ... (default: judged by its content; an unclear line is refused).",
            show_default=False,
        ),
    ] = None,
    kernel: Annotated[
        list[str] | None,
        typer.Option(
            help="nngp, ntk, adaptive, deep-rfm; of images conv-nngp, conv-ntk, conv-nngp-gap, conv-ntk-gap, "
            "conv-nngp-myrtle-5, ...; repeat for several (default: nngp, ntk).",
            show_default=False,
            metavar="NAME",
        ),
    ] = None,
    activation: Annotated[
        list[str] | None,
        typer.Option(
            help="erf, relu, gelu, tanh, 'leaky_relu(0.1)', ...; repeat for several (default: erf, relu).",
            show_default=False,
            metavar="NAME",
        ),
    ] = None,
    depth: Annotated[
        int,
        typer.Option(help="Number of hidden layers, of layers of deep-rfm, or of convolutions.", metavar="N"),
    ] = 1,
    weight_variance: Annotated[
        float, typer.Option(help="Prior variance of weights, times fan-in.", metavar="NUMBER")
    ] = 1.0,
    bias_variance: Annotated[float, typer.Option(help="Prior variance of biases.", metavar="NUMBER")] = 0.0,
    width: Annotated[
        list[float] | None,
        typer.Option(
            help="Hidden units, for the adaptive kernel; repeat to give each hidden layer its own (default: 500).",
            show_default=False,
            metavar="NUMBER",
        ),
    ] = None,
    readout_variance: Annotated[
        float,
        typer.Option(
            help="Prior variance of the readout times width, for the adaptive kernel.", metavar="NUMBER"
        ),
    ] = 1 / 128,
    noise_variance: Annotated[
        float,
        typer.Option(help="Variance of the noise of the targets, for the adaptive kernel.", metavar="NUMBER"),
    ] = 1e-6,
    fitted: Annotated[
        str,
        typer.Option(help="Kernel that each layer of deep-rfm fits: laplace or gaussian.", metavar="NAME"),
    ] = "laplace",
    bandwidth: Annotated[
        float, typer.Option(help="Bandwidth of that kernel, for rows of unit length.", metavar="NUMBER")
    ] = 2.0,
    ridge: Annotated[
        float, typer.Option(help="Added to the diagonal of that kernel.", metavar="NUMBER")
    ] = 0.0,
    fits: Annotated[int, typer.Option(help="Number of fits of each layer of deep-rfm.", metavar="N")] = 1,
    base: Annotated[
        str | None,
        typer.Option(
            help="Kernel whose features deep-rfm takes instead of the samples: nngp, ntk, conv-nngp, ...",
            show_default=False,
            metavar="NAME",
        ),
    ] = None,
    base_depth: Annotated[int, typer.Option(help="Layers of that kernel.", metavar="N")] = 1,
    weighting: Annotated[
        str,
        typer.Option(
            help="How unequal classes are weighted: paper, sample, class or published.", metavar="NAME"
        ),
    ] = "paper",
    standardize: Annotated[
        bool, typer.Option("--standardize", help="Scale every feature to mean 0, deviation 1.")
    ] = False,
    test: Annotated[
        Path | None,
        typer.Option(
            help="A file of held-out samples, measured beside the others; columns are matched by name.",
            metavar="FILE",
        ),
    ] = None,
    holdout: Annotated[
        float | None,
        typer.Option(
            help="Share of the samples to hold out, class by class.", show_default=False, metavar="SHARE"
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of the samples that --holdout takes (default: 0).", show_default=False, metavar="N"
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="auto (by size), dense, streamed (exact) or sampled (with an interval).", metavar="NAME"
        ),
    ] = "auto",
    report: Annotated[
        Path | None, typer.Option(help="Write a page, with figures beside it.", metavar="FILE.html")
    ] = None,
) -> None:
    """Print how collapsed your own data are under each kernel, by every metric, of held-out samples too.

    Example: [bold]kernel-collapse measure flowers.csv --label species --activation relu --depth 3 --holdout 0.2[/bold]
    """
    if file is None and features is None:
        raise typer.BadParameter("give a table of samples, or --features with a file", param_hint="FILE")
    steps: list[Steps] = []
    kernels = kernel or ([] if file is None else ["nngp", "ntk"])
    try:
        _measure(
            file,
            label=label,
            features=features,
            header=header,
            specification={
                "kernels": kernels,
                "activations": activation or (["erf", "relu"] if kernels else []),
                "depth": depth,
                "weight_variance": weight_variance,
                "bias_variance": bias_variance,
                "width": (width[0] if len(width) == 1 else tuple(width)) if width else 500.0,
                "readout_variance": readout_variance,
                "noise_variance": noise_variance,
                "fitted": fitted,
                "bandwidth": bandwidth,
                "ridge": ridge,
                "fits": fits,
                "base": base,
                "base_depth": base_depth,
            },
            weighting=weighting,
            standardize=standardize,
            test=test,
            holdout=holdout,
            seed=seed,
            method=method,
            report=report,
            steps=steps,
        )
    except MemoryError:
        from kernel_collapse import _memory

        free = _memory.size(_memory.available() or 0)
        raise InputError(
            "the table" if file is None else file.name,
            f"be measured in the {free} of memory that are free",
            "a smaller table",
            "measure a part of it",
            verb="cannot",
        ) from None
    except KeyboardInterrupt:
        done = f" after {steps[0].done} of {steps[0].count} kernels" if steps else ""
        say(f"Stopped{done}: nothing is printed or written, and the same command begins anew.", err=True)
        raise typer.Exit(130) from None


def _measure(
    file: Path | None,
    *,
    label: str | None,
    features: str | None,
    header: bool | None,
    specification: dict[str, Any],
    weighting: str,
    standardize: bool,
    test: Path | None,
    holdout: float | None,
    seed: int | None,
    method: str,
    report: Path | None,
    steps: list[Steps],
) -> None:
    """Measure and print; `steps` is given what knows how far it is."""
    from kernel_collapse import _validate, data, readout
    from kernel_collapse import measure as measuring
    from kernel_collapse.collapse import WEIGHTINGS

    _validate.choice(weighting, WEIGHTINGS, "--weighting")
    measurements = measuring.specify(**specification)
    if report is not None:
        _validate.page(report, "--report", ".html")
    _refuse_contradictions(file, test, holdout, standardize)
    _refuse_unused(specification, method, seed, holdout)
    saved = file is None
    if file is None:
        file, features = _file_of_features(features or ""), None
    dataset, held_out = data.load(file, label=label, features=features, header=header), None
    layer = readout.read(file, dataset, label) if saved else None
    if test is not None:
        held_out = data.load(test, like=dataset, **_options_of(test, label, features, header))
    elif holdout is not None:
        dataset, held_out = data.split(dataset, holdout, seed=seed or 0)
    if standardize:
        held_out = held_out and data.standardize(held_out, like=dataset)
        dataset = data.standardize(dataset)
    chosen, why = measuring.FEATURES
    if layer is None or len(measurements) > 1:
        chosen, why = measuring.choose_method(
            len(dataset.x),
            measurements,
            method,
            held_out=held_out is not None,
            weighting=weighting,  # type: ignore[arg-type]
        )
    remarks = [
        *(() if layer is None else layer.notes),
        *measuring.remarks(dataset, held_out),
        f"Method: {chosen} ({why}).",
    ]
    costs = [measuring.cost(what, dataset, chosen, held_out) for what in measurements]
    with Steps("kernels", costs) as shown:
        steps.append(shown)
        table = measuring.measure(
            dataset,
            measurements,
            weighting,  # type: ignore[arg-type]
            test=held_out,
            method=method if chosen == measuring.FEATURES[0] else chosen,
            readout=layer,
            progress=shown.advance,
        )
    print_measurement(dataset, table, remarks, weighting)
    if report is not None:
        features_are = f"{dataset.x.shape[1]}{', standardized' if standardize else ''}"
        _write_report(report, dataset, table, remarks, {"Features": features_are, "Weighting": weighting})
    require_printed()


def _refuse_contradictions(
    file: Path | None, test: Path | None, holdout: float | None, standardize: bool
) -> None:
    """Refuse options that do not go together."""
    if file is None and standardize:
        raise InputError(
            "--standardize", "given for features of a layer", "the features as they are", "leave it out"
        )
    if test is not None and holdout is not None:
        raise InputError(
            "--test and --holdout", "both given", "one", "held-out samples come from either", verb="are"
        )
    if test is not None and test.suffix.lower() == ".npy":
        raise InputError(
            "--test",
            f"{str(test)!r}, which holds no labels",
            "a file with labels",
            "save features and labels as one .npz file",
        )


def _refuse_unused(
    specification: dict[str, Any], method: str, seed: int | None, holdout: float | None
) -> None:
    """Refuse options that would do nothing."""
    hint = "ask for a kernel, such as --kernel nngp, or leave it out"
    if not specification["kernels"]:
        if specification["activations"]:
            raise InputError("--activation", "given where no kernel is measured", "a kernel", hint, verb="is")
        if method != "auto":
            raise InputError("--method", f"{method!r} where no kernel is measured", "a kernel", hint)
    if seed is not None and holdout is None:
        raise InputError(
            "--seed",
            "given without --holdout",
            "both",
            "it is that of the samples that are held out",
            verb="is",
        )


def _write_report(
    path: Path, dataset: Dataset, table: pd.DataFrame, remarks: list[str], options: dict[str, str]
) -> None:
    from kernel_collapse.report import measurement

    facts = {
        "Samples": str(len(dataset.x)),
        "Features": options["Features"],
        "Classes": f"{len(dataset.classes)} {classes_of(dataset)}",
        "Weighting": options["Weighting"],
    }
    command = shlex.join(["kernel-collapse", *sys.argv[1:]])
    measurement.write(path, dataset.name, table, facts, remarks, command)
    say(f"Report: {path}")


def _file_of_features(features: str) -> Path:
    """Return the file that --features names where no other is given."""
    path = Path(features)
    if path.suffix.lower() != ".npz":
        if path.suffix.lower() not in (".csv", ".tsv", ".parquet", ".npy", ""):
            from kernel_collapse import data

            data.load(path)  # which says what such a file is, a checkpoint perhaps
        raise InputError.of(
            "--features",
            features,
            "an .npz file, where no other file is given",
            "save features, labels, classifier and bias as numpy.savez('layer.npz', features=..., labels=...)",
        )
    return path


def _options_of(path: Path, label: str | None, features: str | None, header: bool | None) -> dict[str, Any]:
    """Return how a file of held-out samples is read: as the other, where its kind has such an option."""
    text = path.suffix.lower() in (".csv", ".tsv")
    archive = path.suffix.lower() == ".npz"
    return {"label": label, "features": features if archive else None, "header": header if text else None}
