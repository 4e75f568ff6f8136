"""The paper's figures and our studies: a module each (a folder if it is large), in the order of the report."""

from kernel_collapse import _validate
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.runs.experiments import PRESETS, Experiment, Preset
from kernel_collapse_paper.experiments import (
    activations,
    adaptive_balanced,
    adaptive_imbalanced,
    adaptive_minima,
    adaptive_path,
    adaptive_width,
    all_kernels,
    beyond_gaussian,
    collapse_limits,
    depth,
    finite_width_ntk,
    limiting_kernels_balanced,
    limiting_kernels_imbalanced,
    real_data,
    theory_vs_samples,
    trained_networks_balanced,
    trained_networks_imbalanced,
    training_path,
)

__all__ = ["PRESETS", "REGISTRY", "Experiment", "Figure", "Preset", "Table", "Verdict", "choose"]

REGISTRY: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (
        limiting_kernels_balanced,
        limiting_kernels_imbalanced,
        theory_vs_samples,
        real_data,
        beyond_gaussian,
        activations,
        depth,
        adaptive_balanced,
        adaptive_imbalanced,
        adaptive_width,
        adaptive_path,
        adaptive_minima,
        collapse_limits,
        trained_networks_balanced,
        trained_networks_imbalanced,
        all_kernels,
        finite_width_ntk,
        training_path,
    )
}


def choose(names: list[str]) -> list[Experiment]:
    """Return the experiments of these names, in the order of the report; none or "all" means every one.

    Raises
    ------
    ValueError
        If there is no experiment of a name; the closest names are suggested.
    """
    for name in names:
        _validate.choice(name, [*REGISTRY, "all"], "the experiment")
    if not names or "all" in names:
        return list(REGISTRY.values())
    return [experiment for name, experiment in REGISTRY.items() if name in names]
