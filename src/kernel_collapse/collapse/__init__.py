"""Neural collapse of features, computed from their Gram matrix or from the features themselves.

The attribute `kernel_collapse.collapse` is the function of that name. Import everything else in this package with
``from kernel_collapse.collapse import ...``.
"""

from kernel_collapse.collapse._accumulator import Accumulator
from kernel_collapse.collapse._alignment import (
    Alignment,
    BlockStructure,
    block_structure,
    cka,
    cka_from_features,
    kernel_target_alignment,
)
from kernel_collapse.collapse._collapse import Collapse
from kernel_collapse.collapse._duality import nc3
from kernel_collapse.collapse._estimate import NC1Estimate
from kernel_collapse.collapse._from_features import collapse_from_features, held_out_collapse_from_features
from kernel_collapse.collapse._from_gram import collapse, held_out_collapse
from kernel_collapse.collapse._geometry import Geometry, geometry_from_features
from kernel_collapse.collapse._geometry_from_gram import geometry
from kernel_collapse.collapse._layers import LawOfSeparation, law_of_separation
from kernel_collapse.collapse._nc1 import (
    NC1,
    WEIGHTINGS,
    Weighting,
    nc1,
    nc1_from_classes,
    nc1_from_features,
    nc1_weightings,
)
from kernel_collapse.collapse._random_features import random_feature_nc1
from kernel_collapse.collapse._regression import (
    RegressionCollapse,
    regression_collapse,
    regression_collapse_from_features,
)
from kernel_collapse.collapse._sampled import sampled_nc1
from kernel_collapse.collapse._simplex import nc2
from kernel_collapse.collapse._streamed import streamed_collapse, streamed_nc1

__all__ = [
    "NC1",
    "WEIGHTINGS",
    "Accumulator",
    "Alignment",
    "BlockStructure",
    "Collapse",
    "Geometry",
    "LawOfSeparation",
    "NC1Estimate",
    "RegressionCollapse",
    "Weighting",
    "block_structure",
    "cka",
    "cka_from_features",
    "collapse",
    "collapse_from_features",
    "geometry",
    "geometry_from_features",
    "held_out_collapse",
    "held_out_collapse_from_features",
    "kernel_target_alignment",
    "law_of_separation",
    "nc1",
    "nc1_from_classes",
    "nc1_from_features",
    "nc1_weightings",
    "nc2",
    "nc3",
    "random_feature_nc1",
    "regression_collapse",
    "regression_collapse_from_features",
    "sampled_nc1",
    "streamed_collapse",
    "streamed_nc1",
]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__
