"""Neural collapse of kernels tile by tile: no array of the size of the Gram matrix is ever held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.activations import ActivationLike
from kernel_collapse.collapse._collapse import Collapse
from kernel_collapse.collapse._dual import by_position, dual_of
from kernel_collapse.collapse._from_gram import from_sums
from kernel_collapse.collapse._nc1 import WEIGHTINGS, Weighting, from_moments
from kernel_collapse.collapse._tiled_pass import TiledPass
from kernel_collapse.kernels.named import KernelLike, OfBlocks, resolve, resolve_all

__all__ = ["streamed_collapse", "streamed_nc1"]


def streamed_nc1(
    x: Any,
    labels: Any,
    *,
    kernel: KernelLike | Sequence[KernelLike] = "nngp",
    weighting: Weighting = "paper",
    tile: int | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
    activation: ActivationLike | None = None,
    depth: int | None = None,
    weight_variance: float | None = None,
    bias_variance: float | None = None,
) -> Any:
    r"""Return NC1 of a kernel without its Gram matrix. The result is exact, and the memory is proportional to n.

    Parameters
    ----------
    x : array, shape (n, d) or (n, height, width, channels)
        Inputs; images for the kernels of convolutional networks. A NumPy array, a memory map, or any object that has
        a shape and returns rows for an array of row numbers. The rows are read tile by tile and need not fit into
        memory. Arrays of PyTorch, JAX and CuPy are read into NumPy's. The computation and the result are in NumPy,
        without derivatives.
    labels : sequence, length n
        Class of each sample.
    kernel : {"nngp", "ntk", "conv-nngp", ...}, Kernel, callable, or sequence of these
        See `kernel_collapse.kernels.named` for the names. Several kernels share one pass. A
        `kernel_collapse.kernels.Kernel` has its own parameters. A callable takes the rows of a tile (r, d) and of its
        columns (s, d) and returns the block (r, s) of a symmetric kernel; it must be safe to call from several
        threads.
    weighting
        As for `kernel_collapse.nc1`.
    tile : int, optional
        Side of a tile; by default one whose temporaries stay in the cache.
    workers : int, optional
        Threads, at most 1024; by default one a core.
    executor : concurrent.futures.Executor, optional
        Computes the tiles instead of threads and gives the same bits: a process pool, or many machines
        (`kernel_collapse.cluster.connect`). The calling process reads the rows and sends some thousands at a time, so
        the workers need no access to `x`. A callable must be picklable.
    progress : callable, optional
        Called as progress(done, total) with the number of tiles.
    activation, depth, weight_variance, bias_variance
        Parameters of kernels that are given by name, with the meanings and defaults of `kernel_collapse.nngp`.

    Returns
    -------
    NC1, or a dict of NC1 by what was given for each of several kernels
        The result of `kernel_collapse.nc1` for the whole Gram matrix.

    Raises
    ------
    ValueError
        If shapes do not agree, values are not finite, the callable returns anything but a finite block, it or a
        `Kernel` of your own is not symmetric or no inner product of features (\|K_ij\|^2 > K_ii K_jj), a `Kernel`
        comes with parameters beside its own, or both `workers` and `executor` are given.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.gaussian_classes(n=1000, dim=8)
    >>> value = kc.streamed_nc1(data.x, data.labels, kernel="ntk")
    >>> abs(value.ratio / kc.nc1(kc.ntk(data.x), data.labels).ratio - 1) < 1e-12
    True
    """
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, _ = _validate.encode_labels(labels)
    one = isinstance(kernel, str) or callable(kernel)
    names: list[Any] = [kernel] if one else _validate.several(kernel, "kernel", "'nngp', or ('nngp', 'ntk')")
    kernels = resolve_all(
        names,
        OfBlocks,
        activation=activation,
        depth=depth,
        weight_variance=weight_variance,
        bias_variance=bias_variance,
    )
    if progress is not None:
        _validate.function(progress, "progress", "it is called with two numbers", arguments=2)
    tiles = TiledPass(x, codes, kernels, None, tile, workers, executor)
    found = tiles.run(progress)
    values = [from_moments(tiles.moments(sums), weighting) for sums in found]
    return values[0] if one else dict(zip(names, values, strict=True))


def streamed_collapse(
    x: Any,
    labels: Any,
    *,
    kernel: KernelLike = "nngp",
    dual_weights: Any = None,
    targets: Any = None,
    bias: Any = None,
    weighting: Weighting = "paper",
    tile: int | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
    activation: ActivationLike | None = None,
    depth: int | None = None,
    weight_variance: float | None = None,
    bias_variance: float | None = None,
) -> Collapse:
    r"""Return every metric of collapse of a kernel without its Gram matrix.

    A classifier must be given by its dual weights, because fitting one takes the whole matrix.

    Parameters
    ----------
    x, labels, kernel, tile, workers, executor, progress, activation, depth, weight_variance, bias_variance
        As for `streamed_nc1`, but of one kernel.
    dual_weights, targets, bias, weighting
        As for `kernel_collapse.collapse`.

    Returns
    -------
    Collapse
        The result of `kernel_collapse.collapse` for the whole Gram matrix.

    Raises
    ------
    ValueError
        As for `streamed_nc1`, and if targets come without dual weights.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.gaussian_classes(n=1000, dim=8)
    >>> found = kc.streamed_collapse(data.x, data.labels)
    >>> found.ncm_accuracy, abs(found.nc1_pinv / kc.collapse(kc.nngp(data.x), data.labels).nc1_pinv - 1) < 1e-10
    (1.0, True)
    """
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, _ = _validate.encode_labels(labels, matched=by_position(dual_weights, targets))
    dual_weights = _validate.in_numpy(dual_weights, "dual_weights")
    targets = _validate.in_numpy(targets, "targets")
    bias = _validate.in_numpy(bias, "bias")
    if targets is not None and dual_weights is None:
        raise InputError(
            "targets",
            "given without dual_weights",
            "both",
            "to fit a classifier takes the whole Gram matrix; use kernel_collapse.collapse, or fit it "
            "elsewhere and give dual_weights",
            verb="are",
        )
    dual = dual_of(None, codes, targets, None, dual_weights, bias)
    chosen = resolve(
        kernel,
        OfBlocks,
        activation=activation,
        depth=depth,
        weight_variance=weight_variance,
        bias_variance=bias_variance,
    )
    if progress is not None:
        _validate.function(progress, "progress", "it is called with two numbers", arguments=2)
    tiles = TiledPass(x, codes, [chosen], None if dual is None else dual.alpha, tile, workers, executor)
    (sums,) = tiles.run(progress)
    return from_sums(sums, codes, tiles.moments(sums), dual, weighting)
