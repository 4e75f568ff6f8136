"""What a network does to images of one size: its stages, and of which of them all pairs of positions are needed.

The covariance of two images is one of their positions, K[p, r]. A convolution, a stride and an activation give the
output at (p, r) from inputs whose distance is theirs, so that "flatten", the mean over p = r, never needs another; a
pool takes the mean over all pairs of positions in two windows. Read from the end, the layers say which are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from kernel_collapse import activations
from kernel_collapse.kernels._image_layers import Activation, AvgPool, Conv, GlobalAvgPool, Layer, Window

__all__ = ["Plan", "Stage", "plan_of"]

Windows = tuple[Window, Window]


@dataclass(frozen=True)
class Stage:
    """A convolution with the activation after it, either alone, or a pool.

    `full` says that all pairs of positions come in, `full_after` that all go out.
    """

    conv: Windows | None
    phi: activations.Activation | None
    pool: Windows | None
    before: tuple[int, int]
    after: tuple[int, int]
    full: bool
    full_after: bool

    @property
    def filter_positions(self) -> int:
        """Number of positions of the filter."""
        return 1 if self.conv is None else self.conv[0].size * self.conv[1].size


@dataclass(frozen=True)
class Plan:
    """The stages for images of one size, after those that pool the images themselves (`lead`)."""

    lead: tuple[Windows, ...]
    stages: tuple[Stage, ...]
    #: Whether the features are means over all pairs of positions, or over equal ones.
    full: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what the stages begin with."""
        return self.stages[0].before

    @property
    def row(self) -> int:
        """The most numbers that a pair of images has in one row of positions, which is worked on at a time."""
        return max(
            (s.before[0] if s.full else 1) * max(s.before[1], s.after[1]) ** (2 if s.full else 1)
            for s in self.stages
        )


@lru_cache(maxsize=256)
def plan_of(layers: tuple[Layer, ...], shape: tuple[int, int], *, for_variances: bool = False) -> Plan:
    """Return the stages for images of that height and width.

    With `for_variances` pairs of positions are kept only as far as the variances of the activations need them.

    Raises
    ------
    ValueError
        If a filter or a pool does not fit into what it is given.
    """
    sizes, moves = [shape], []
    for layer in layers[:-1]:
        windows = layer.windows(sizes[-1]) if isinstance(layer, Conv | AvgPool) else None
        moves.append(windows)
        sizes.append(sizes[-1] if windows is None else (windows[0].outputs, windows[1].outputs))
    lead = next(k for k, layer in enumerate(layers) if isinstance(layer, Conv))
    end = isinstance(layers[-1], GlobalAvgPool) and sizes[-1] != (1, 1)
    stages: list[Stage] = []
    place, full_of = len(layers) - 2, end and not for_variances
    seen = not for_variances
    while place >= lead:
        layer, first = layers[place], place
        phi = layer.phi if isinstance(layer, Activation) else None
        seen = seen or phi is not None
        if phi is not None and isinstance(layers[place - 1], Conv):
            first = place - 1
        conv = moves[first] if isinstance(layers[first], Conv) else None
        pool = moves[place] if isinstance(layer, AvgPool) else None
        full_before = (full_of or (pool is not None and seen)) and sizes[first] != (1, 1)
        stages.append(Stage(conv, phi, pool, sizes[first], sizes[place + 1], full_before, full_of))
        place, full_of = first - 1, full_before
    found = stages[::-1]
    if for_variances:
        last = [k for k, stage in enumerate(found) if stage.phi is not None]
        found = found[: last[-1] + 1] if last else found[:1]
    return Plan(tuple(w for w in moves[:lead] if w is not None), tuple(found), end and not for_variances)
