"""The paper's figures and our studies: a module each (a folder if it is large), in the order of the report.

A study of balanced and imbalanced classes is one module with two experiments.
"""

from kernel_collapse import _validate
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.runs.experiments import PRESETS, Experiment, Preset, registered
from kernel_collapse_paper.experiments import (
    activations,
    adaptive_kernel,
    adaptive_minima,
    adaptive_path,
    adaptive_width,
    all_kernels,
    beyond_gaussian,
    collapse_limits,
    deep_data,
    deep_kernels,
    deep_widths,
    depth,
    feature_learning,
    finite_width_ntk,
    images,
    limiting_kernels,
    real_data,
    theory_vs_samples,
    trained_networks,
    training_path,
)

__all__ = ["PRESETS", "REGISTRY", "Experiment", "Figure", "Preset", "Table", "Verdict", "choose"]

REGISTRY: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        *limiting_kernels.EXPERIMENTS,
        theory_vs_samples.EXPERIMENT,
        real_data.EXPERIMENT,
        beyond_gaussian.EXPERIMENT,
        activations.EXPERIMENT,
        depth.EXPERIMENT,
        *adaptive_kernel.EXPERIMENTS,
        adaptive_width.EXPERIMENT,
        adaptive_path.EXPERIMENT,
        adaptive_minima.EXPERIMENT,
        collapse_limits.EXPERIMENT,
        *trained_networks.EXPERIMENTS,
        all_kernels.EXPERIMENT,
        deep_kernels.EXPERIMENT,
        deep_widths.EXPERIMENT,
        deep_data.EXPERIMENT,
        images.EXPERIMENT,
        feature_learning.EXPERIMENT,
        finite_width_ntk.EXPERIMENT,
        training_path.EXPERIMENT,
    )
}


def choose(names: list[str]) -> list[Experiment]:
    """Return the experiments of these names, in the order of the report; none or "all" means every one.

    Those that other packages register come after ours.

    Raises
    ------
    ValueError
        If there is no experiment of a name; the closest names are suggested.
    """
    known = REGISTRY | {name: one for name, one in registered().items() if name not in REGISTRY}
    for name in names:
        _validate.choice(name, [*known, "all"], "the experiment")
    if not names or "all" in names:
        return list(known.values())
    return [experiment for name, experiment in known.items() if name in names]
