"""Neural Collapse measured from kernels: data -> kernel -> Gram matrix -> collapse -> comparison.

Import it by ``import kernel_collapse as kc``. Scripts may rely on everything that is exported here.
"""

import importlib
from typing import TYPE_CHECKING, Any

from kernel_collapse import activations, kernels
from kernel_collapse._input_error import InputError
from kernel_collapse.collapse import (
    NC1,
    Accumulator,
    Alignment,
    BlockStructure,
    Collapse,
    Geometry,
    LawOfSeparation,
    NC1Estimate,
    RegressionCollapse,
    block_structure,
    cka,
    cka_from_features,
    collapse,
    collapse_from_features,
    geometry,
    geometry_from_features,
    held_out_collapse,
    held_out_collapse_from_features,
    kernel_target_alignment,
    law_of_separation,
    nc1,
    nc1_from_features,
    nc1_weightings,
    random_feature_nc1,
    regression_collapse,
    regression_collapse_from_features,
    sampled_nc1,
    streamed_collapse,
    streamed_nc1,
)
from kernel_collapse.kernels import nngp, ntk

if TYPE_CHECKING:
    from kernel_collapse import data, networks, plots, rfm, theory, torch
    from kernel_collapse.adaptive import AdaptiveError, AdaptiveSolution, solve_adaptive
    from kernel_collapse.data import Dataset
    from kernel_collapse.recording import History, Record, record
    from kernel_collapse.rfm import DeepRFM, deep_rfm
    from kernel_collapse.runs.run import results
    from kernel_collapse.runs.tidy import describe_columns

__version__ = "0.2.0"

__all__ = [
    "NC1",
    "Accumulator",
    "AdaptiveError",
    "AdaptiveSolution",
    "Alignment",
    "BlockStructure",
    "Collapse",
    "Dataset",
    "DeepRFM",
    "Geometry",
    "History",
    "InputError",
    "LawOfSeparation",
    "NC1Estimate",
    "Record",
    "RegressionCollapse",
    "activations",
    "block_structure",
    "cka",
    "cka_from_features",
    "collapse",
    "collapse_from_features",
    "data",
    "deep_rfm",
    "describe_columns",
    "geometry",
    "geometry_from_features",
    "held_out_collapse",
    "held_out_collapse_from_features",
    "kernel_target_alignment",
    "kernels",
    "law_of_separation",
    "nc1",
    "nc1_from_features",
    "nc1_weightings",
    "networks",
    "nngp",
    "ntk",
    "plots",
    "random_feature_nc1",
    "record",
    "regression_collapse",
    "regression_collapse_from_features",
    "results",
    "rfm",
    "sampled_nc1",
    "solve_adaptive",
    "streamed_collapse",
    "streamed_nc1",
    "theory",
    "torch",
]

#: Packages that are imported when they are first asked for, and names with the module that has each.
_PACKAGES = ("data", "networks", "plots", "rfm", "theory", "torch")
_HOMES = {
    "AdaptiveError": "adaptive",
    "AdaptiveSolution": "adaptive",
    "Dataset": "data",
    "DeepRFM": "rfm",
    "History": "recording",
    "Record": "recording",
    "deep_rfm": "rfm",
    "describe_columns": "runs.tidy",
    "record": "recording",
    "results": "runs.run",
    "solve_adaptive": "adaptive",
}


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__


def __getattr__(name: str) -> Any:
    """Import what is not needed for a kernel and its NC1 when it is first asked for."""
    if name in _PACKAGES:
        return importlib.import_module(f"kernel_collapse.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"kernel_collapse.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
