"""What the two kernels of a convolutional network have in common: their images, blocks, pairs and threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import array_api_compat
import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._resolved import least, require_features, require_own, require_squares
from kernel_collapse._shapes import Float
from kernel_collapse.activations import ActivationLike
from kernel_collapse.kernels import _image_blocks, _image_whole
from kernel_collapse.kernels._image_blocks import ROW, Seen
from kernel_collapse.kernels._image_layers import Activation, Layer, LayersLike, as_layers, stacked
from kernel_collapse.kernels._image_pieces import cut, inside, pieces, seen_of, spread
from kernel_collapse.kernels._image_plan import Plan, plan_of
from kernel_collapse.kernels._image_prints import fingerprints
from kernel_collapse.kernels._image_whole import Variances
from kernel_collapse.kernels._kernel import EPS, Evaluated, Kernel, _whole
from kernel_collapse.kernels._wide import Wide

__all__ = ["ConvNetwork"]

#: Numbers of all positions of a block of arrays of other libraries.
WHOLE = 2**23


@dataclass(frozen=True, repr=False)
class ConvNetwork(Wide):
    """A kernel of an infinitely wide convolutional network; abstract: `ConvNNGP` and `ConvNTK` say which."""

    layers: LayersLike = 1
    activation: ActivationLike | None = field(default=None, kw_only=True)
    readout: Literal["flatten", "gap"] | None = field(default=None, kw_only=True)
    weight_variance: float = field(default=1.0, kw_only=True)
    bias_variance: float = field(default=0.0, kw_only=True)
    #: The layers that `layers` stands for.
    stack: tuple[Layer, ...] = field(init=False, compare=False)

    _of_images = True

    def __post_init__(self) -> None:
        clean = self._clean()
        if self.readout is not None:
            _validate.choice(self.readout, ("flatten", "gap"), "readout")
        if isinstance(self.layers, int | str | np.integer):
            if isinstance(self.layers, str) and self.readout == "flatten":
                raise InputError(
                    "readout", "'flatten'", "none", f"{self.layers!r} ends with global average pooling"
                )
            stack = stacked(self.layers, self.activation or "erf", self.readout or "flatten")
        else:
            for name in ("activation", "readout"):
                if getattr(self, name) is not None:
                    raise InputError(
                        name, "given beside a list of layers", "either", "the layers say it", verb="is"
                    )
            stack = as_layers(self.layers)
            clean["layers"] = stack
        for name, value in (clean | {"stack": stack}).items():
            object.__setattr__(self, name, value)

    # -- what the library calls, with clean arrays (n, height, width, channels)

    def _network(self) -> tuple[Any, ...]:
        return (self.stack,)

    def _prepared(self, x: Any) -> list[Any]:
        """Return variances and, of NumPy's images, prints of every activation, an entry (height, width) an image."""
        self._require_pixels(self._cast(x))
        if not isinstance(x, np.ndarray):
            images, plan = self._cast(x), self._plan(x, for_variances=True)
            found = _image_whole.variances(inside(images, plan), plan, self._prior)
            if not _arrays.staged(images):
                phis = [stage.phi for stage in plan.stages if stage.phi is not None]
                for q, phi in zip(found, phis, strict=True):
                    require_features(q, phi)
            return [_arrays.namespace(q).moveaxis(q, -1, 0) for q in found]
        step = max(1, ROW // self._plan(x, for_variances=True).row)
        parts = [self._seen(x[top : top + step]) for top in range(0, len(x), step)]
        every = zip(*((*seen.q, *seen.prints) for seen in parts), strict=True)
        return [np.concatenate([np.moveaxis(v, -1, 0) for v in arrays]) for arrays in every]

    def _require_pixels(self, x: Any) -> None:
        """Refuse images whose squares have lost their digits, each by its largest pixel."""
        if _arrays.staged(x):
            return
        xp, weight, what = _arrays.namespace(x), self.weight_variance, "square of the largest pixel"
        largest = xp.max(xp.reshape(xp.abs(x), (int(x.shape[0]), -1)), axis=1)
        squares = largest * largest
        require_squares(squares, largest > 0, weight, self.bias_variance, what)
        if not any(isinstance(layer, Activation) for layer in self.stack):
            # What is left of one pixel, of no variance of an activation, at the end.
            stages = self._plan(x).stages
            share = float(np.prod([weight / s.filter_positions for s in stages if s.conv is not None]))
            share /= int(x.shape[3]) * max(1, int(np.prod(stages[-1].after)))
            require_own(squares, share, self.bias_variance, f"{what}, as far as it reaches the kernel,")

    def _require_own(self, of_x: Sequence[Any]) -> None:
        """Refuse images whose kernel has lost digits where it is the weight variance times that of the features."""
        phis = [layer.phi for layer in self.stack if isinstance(layer, Activation)]
        weight = self._readout_weight()
        if weight >= 1.0 or not phis or _arrays.staged(of_x[0]):
            return
        q = of_x[len(phis) - 1]
        xp = _arrays.namespace(q)
        q = xp.reshape(q, (int(q.shape[0]), -1))
        if bool(xp.any((q > 0) & (weight * q < least(q) ** 0.25))):
            kappa = xp.mean(phis[-1].kappa(q, q, q, xp.zeros_like(q)), axis=1)
            require_own(kappa, weight, self.bias_variance, "kernel of an image with itself")

    def _prepared_by_threads(self, x: np.ndarray) -> list[np.ndarray]:
        parts = spread(lambda part: self._prepared(x[part]), pieces(len(x), 16 * self._step(x)))
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _seen(self, x: np.ndarray) -> Seen:
        plan = self._plan(x, for_variances=True)
        images = inside(self._cast(x), plan)
        return _image_blocks.of_images(images, plan, self._prior, fingerprints(images, plan))

    def _blocks(
        self,
        kin: Sequence[Kernel],
        x: Any,
        y: Any,
        of_x: Sequence[Any],
        of_y: Sequence[Any],
        *,
        diagonal: bool = False,
    ) -> list[Evaluated]:
        wanted = [kernel for kernel in kin if isinstance(kernel, ConvNetwork)]
        tangent, plan = any(kernel._tangent for kernel in wanted), self._plan(x)
        for kernel in wanted:
            for side in (of_x,) if diagonal else (of_x, of_y):
                kernel._require_own(side)
        if not isinstance(x, np.ndarray):
            found = self._whole(x, y, of_x, of_y, plan, tangent=tangent, diagonal=diagonal)
            return [(kernel._of(*found), self._eps()) for kernel in wanted]
        images = [inside(self._cast(side), plan) for side in (x, y)]
        blocks = [np.zeros((len(x), len(y)), dtype=images[0].dtype) for _ in wanted]
        for rows, columns in cut(len(x), len(y), max(1, ROW // plan.row)):
            if diagonal and columns.stop <= rows.start:
                continue
            left = seen_of(of_x, rows, (slice(None), None))
            right = seen_of(of_y, columns, (None, slice(None)))
            features, theta = _image_blocks.through(
                images[0][..., rows, None],
                images[1][..., None, columns],
                plan,
                self._prior,
                left,
                right,
                tangent=tangent,
            )
            for block, kernel in zip(blocks, wanted, strict=True):
                block[rows, columns] = kernel._of(features, theta)
        if diagonal:
            blocks = [np.triu(block) + np.triu(block, 1).T for block in blocks]
        return [(block, self._eps()) for block in blocks]

    def _whole(
        self, x: Any, y: Any, of_x: Any, of_y: Any, plan: Plan, *, tangent: bool, diagonal: bool
    ) -> tuple[Any, Any]:
        """Return features and T of arrays of another library, some rows at a time."""
        xp = _arrays.namespace(x)
        left, right = inside(self._cast(x), plan), inside(self._cast(y), plan)
        step = max(1, WHOLE // (plan.row * plan.shape[0] * int(y.shape[0])))
        itself = (
            xp.eye(int(x.shape[0]), dtype=xp.bool, device=array_api_compat.device(x)) if diagonal else None
        )
        parts = []
        for top in range(0, int(x.shape[0]), step):
            rows = slice(top, top + step)
            found = _image_whole.through(
                left[..., rows, None],
                right[..., None, :],
                plan,
                self._prior,
                [xp.moveaxis(q[rows], 0, -1)[..., None] for q in of_x],
                [xp.moveaxis(q, 0, -1)[..., None, :] for q in of_y],
                tangent=tangent,
                itself=None if itself is None else itself[rows],
            )
            parts.append(found)
        features, thetas = zip(*parts, strict=True)
        return xp.concat(features), xp.concat(thetas) if tangent else None

    def _pairs(self, left: Any, right: Any) -> Evaluated:
        if not isinstance(left, np.ndarray):
            return self._whole_pairs(left, right)
        step = self._step(left)

        def some(part: slice) -> Float[np.ndarray, " m"]:
            x, y = left[part], right[part]
            of_x = self._prepared(x)
            of_y = of_x if left is right else self._prepared(y)
            found = []
            for few in pieces(len(x), step):
                seen = (seen_of(of, few, (slice(None),)) for of in (of_x, of_y))
                found.append(self._of_pairs(x[few], y[few], *seen))
            return np.concatenate(found)

        # Variances are far quicker of many images at once; but every core has its part.
        share = -(-len(left) // (os.cpu_count() or 1))
        parts = pieces(len(left), min(16 * step, max(step, share)))
        return self._finite(np.concatenate(spread(some, parts))), max(self._eps(), EPS)

    def _diagonal(self, x: Any) -> Evaluated:
        return self._pairs(x, x)

    def _pairs_among(self, x: Any, left: Any, right: Any) -> tuple[Any, Any, float]:
        """Return the kernel of each image with itself and of pairs of them, whose images are looked at once."""
        of_x = self._prepared_by_threads(x)

        def among(i: Any, j: Any) -> Float[np.ndarray, " m"]:
            def some(part: slice) -> Float[np.ndarray, " m"]:
                seen = (seen_of(of_x, at[part], (slice(None),)) for at in (i, j))
                return self._of_pairs(x[i[part]], x[j[part]], *seen)

            return self._finite(np.concatenate(spread(some, pieces(len(i), self._step(x)))))

        every = np.arange(len(x))
        return among(every, every), among(left, right), max(self._eps(), EPS)

    def _of_pairs(
        self, left: np.ndarray, right: np.ndarray, of_left: Seen, of_right: Seen
    ) -> Float[np.ndarray, " m"]:
        plan = self._plan(left)
        x, y = (inside(self._cast(side), plan) for side in (left, right))
        return self._of(
            *_image_blocks.through(x, y, plan, self._prior, of_left, of_right, tangent=self._tangent)
        )

    def _whole_pairs(self, left: Any, right: Any) -> Evaluated:
        xp, plan = _arrays.namespace(left), self._plan(left)
        q, q_other = ([xp.moveaxis(v, 0, -1) for v in self._prepared(side)] for side in (left, right))
        same = xp.all(xp.reshape(left == right, (int(left.shape[0]), -1)), axis=1)
        x, y = (inside(self._cast(side), plan) for side in (left, right))
        found = _image_whole.through(x, y, plan, self._prior, q, q_other, tangent=self._tangent, itself=same)
        return self._finite(self._of(*found)), max(self._eps(), EPS)

    def _gram(self, x: Any, y: Any, what: str = "y") -> Float[Any, "n m"]:
        rows = self._samples(x, "x")
        columns = None if y is None else self._rows(x, y, what)[1]
        if isinstance(rows, np.ndarray):
            return self._in_tiles(rows, columns)
        return _whole(self, rows, columns)

    def _in_tiles(self, x: np.ndarray, other: np.ndarray | None) -> Float[np.ndarray, "n m"]:
        """Return the Gram matrix, tiles on as many threads as there are cores."""
        symmetric = other is None
        y = x if other is None else other
        _validate.fits(
            len(x) * len(y),
            f"the Gram matrix of {len(x)} by {len(y)} images",
            "use streamed_nc1 or sampled_nc1",
        )
        of_x = self._prepared_by_threads(x)
        of_y = of_x if symmetric else self._prepared_by_threads(y)
        side = int(np.ceil(np.sqrt(max(1, ROW // self._plan(x).row)))) * 4
        gram = np.empty((len(x), len(y)), dtype=self._cast(x[:1]).dtype)

        def put(where: tuple[slice, slice]) -> None:
            rows, columns = where
            on_diagonal = symmetric and rows.start == columns.start
            ((block, _),) = self._blocks(
                [self],
                x[rows],
                y[columns],
                [v[rows] for v in of_x],
                [v[columns] for v in of_y],
                diagonal=on_diagonal,
            )
            self._require_finite(np.isfinite(block).all())
            gram[rows, columns] = block
            if symmetric and not on_diagonal:
                gram[columns, rows] = block.T

        tiles = (
            (rows, columns)
            for rows in pieces(len(x), side)
            for columns in pieces(len(y), side)
            if not symmetric or columns.start >= rows.start
        )
        spread(put, tiles)
        return gram

    # -- images

    def _seconds_a_pair(self, x: Any) -> float:
        stages = self._plan(x).stages
        entries = sum((s.before[0] * s.before[1]) ** (2 if s.full else 1) for s in stages)
        return 1e-7 * entries

    def _samples(self, x: Any, what: str) -> Float[Any, "n h w c"]:
        return _validate.images(x, what, dtype=self._precision())

    def _rows(self, x: Any, y: Any, what: str = "y") -> tuple[Any, Any]:
        _arrays.same_kind(x, "x", y, what)
        first = self._samples(x, "x")
        return first, self._alike(first, "x", self._samples(y, what), what)

    def _alike(self, first: Any, what_first: str, second: Any, what: str) -> Any:
        if tuple(first.shape[1:]) != tuple(second.shape[1:]):
            sizes = [" x ".join(map(str, side.shape[1:])) for side in (first, second)]
            raise InputError(
                what_first,
                f"images of {sizes[0]} and {what} of {sizes[1]}",
                "images of one height, width and number of channels",
                "crop or resize one of them",
                verb="holds",
            )
        return second

    def _paired(self, left: Any, right: Any) -> tuple[Any, Any]:
        _arrays.same_kind(left, "left", right, "right")
        rows, others = self._samples(left, "left"), self._samples(right, "right")
        self._alike(rows, "left", others, "right")
        if len(rows) != len(others):
            raise InputError(
                "left",
                f"{len(rows)} images and right has {len(others)}",
                "as many",
                "a pair a row",
                verb="has",
            )
        return rows, others

    @property
    def _prior(self) -> Variances:
        return Variances(self.weight_variance, self.bias_variance)

    def _plan(self, x: Any, *, for_variances: bool = False) -> Plan:
        return plan_of(self.stack, (int(x.shape[1]), int(x.shape[2])), for_variances=for_variances)

    def _step(self, x: Any) -> int:
        return max(1, ROW // self._plan(x).row)
