"""A model beside the kernels of the same samples: NC1 and alignment with the labels, on one axis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from kernel_collapse import _results, _validate
from kernel_collapse._input_error import InputError, KernelRefused
from kernel_collapse._shapes import Float, Int
from kernel_collapse.adaptive import solve_adaptive
from kernel_collapse.collapse import block_structure, cka, kernel_target_alignment, nc1
from kernel_collapse.kernels import Kernel
from kernel_collapse.kernels.named import OF_IMAGES, resolve
from kernel_collapse.rfm import deep_rfm
from kernel_collapse.torch._batches import Split, called, device_of, mapped, moved
from kernel_collapse.torch._features import Reduce
from kernel_collapse.torch._hooks import Taps, evaluating
from kernel_collapse.torch._names import BEFORE_LAST, unwrapped
from kernel_collapse.torch._plan import plan_of
from kernel_collapse.torch._samples import drawn
from kernel_collapse.torch._tangent import TangentKernel, empirical_ntk

__all__ = ["Compared", "Comparison", "compare"]

#: What a kernel may be given as.
Given = str | Kernel | Callable[[Any], Any]
#: Samples that go through the model at once.
ROWS = 256


@dataclass(frozen=True)
class Compared:
    """The results of one kernel.

    Attributes
    ----------
    source : {"data", "model"}
        Whether the kernel depends on the inputs only or comes from the model.
    nc1, nc1_error : float
        tr S_W / tr S_B under the kernel, and the standard error that a projection of gradients brings: 0 without one.
    alignment : float
        Kernel-target alignment, see `kernel_collapse.kernel_target_alignment`.
    cka : float
        The same with both centred, see `kernel_collapse.cka`.
    diagonal, within, between : float
        Means of the entries on the diagonal, of pairs in a class and of pairs of two classes.
    reason : str
        Empty, or why a number is NaN, or how far it is known.
    """

    source: str
    nc1: float
    nc1_error: float
    alignment: float
    cka: float
    diagonal: float
    within: float
    between: float
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Comparison(Mapping[str, Compared]):
    """Kernels of the data and of a model on the same samples, by their names.

    Attributes
    ----------
    kernels : dict of str to Compared
    grams : dict of str to ndarray, shape (n, n)
        Their Gram matrices, for any other metric.
    labels : ndarray, shape (n,)
        Of the samples.

    Examples
    --------
    See `compare`.
    """

    kernels: dict[str, Compared]
    grams: dict[str, Float[np.ndarray, "n n"]]
    labels: Int[np.ndarray, " n"]

    def __getitem__(self, name: str) -> Compared:
        """Return what a kernel says; a `KeyError` names the kernels that were compared."""
        return _results.named(self.kernels, name, "kernel")

    def __contains__(self, name: object) -> bool:
        """Whether there is a kernel of that name."""
        return name in self.kernels

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the kernels."""
        return iter(self.kernels)

    def __len__(self) -> int:
        """Return the number of kernels."""
        return len(self.kernels)

    def to_frame(self) -> _results.DataFrame:
        """Return a table with a row a kernel.

        Raises
        ------
        ValueError
            If pandas is not installed.
        """
        names = tuple(Compared.__dataclass_fields__)
        columns = {name: [getattr(found, name) for found in self.values()] for name in names}
        return _results.frame({"kernel": list(self), **columns})

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a row a kernel, to four digits, with the reasons below."""
        names = tuple(name for name in Compared.__dataclass_fields__ if name != "reason")
        rows = [(kernel, *(getattr(found, name) for name in names)) for kernel, found in self.items()]
        reasons = [f"{kernel}: {found.reason}" for kernel, found in self.items() if found.reason]
        return _results.as_html(f"{len(self.labels)} samples", ("kernel", *names), rows, reasons)

    def plot(self, **options: Any) -> Any:
        """Draw NC1 of every kernel; options and result are those of `kernel_collapse.plots.over_kernels`."""
        from kernel_collapse import plots

        return plots.over_kernels(self, **options)


def compare(
    model: nn.Module,
    loader: Iterable[Any],
    kernels: Sequence[Given] | Mapping[str, Given] = ("nngp", "ntk"),
    *,
    layers: str | Sequence[str] = BEFORE_LAST,
    reduce: Reduce = None,
    activation: Any = "relu",
    depth: int = 1,
    tangent: bool | int = True,
    samples: int = 512,
    seed: int = 0,
    split: Split | None = None,
) -> Comparison:
    r"""Compare kernels of the data with kernels of a model on the same samples.

    Parameters
    ----------
    model, loader, layers, reduce, split
        As for `kernel_collapse.torch.record`. Inputs are tensors of one shape.
    kernels : sequence or mapping from names
        Of the inputs, flattened to one row a sample: "nngp", "ntk", "adaptive" (the equations of state with one-hot
        targets, `kernel_collapse.solve_adaptive`), "deep-rfm" (the features of the last layer of
        `kernel_collapse.deep_rfm`, with the same targets), any `kernel_collapse.kernels.Kernel`, or a function of the
        inputs (n, d) in float64 that returns a Gram matrix. Kernels of images, "conv-nngp" and the others that
        `kernel_collapse.kernels.ConvNNGP` makes, are given inputs (n, channels, height, width), as PyTorch has them,
        with their channels last.
    activation, depth
        Of the kernels that are given as names.
    tangent : bool or int
        Whether to add the empirical NTK of the model, `kernel_collapse.torch.empirical_ntk`; a number is the size of
        its projection, for large models.
    samples : int
        How many samples are drawn from the loader. The loader is read once. If it has fewer samples, all are taken.
    seed : int
        Of the draw, and of the projection.

    Returns
    -------
    Comparison
        Kernels of the data first; then, for each layer, the Gram matrix of its features (the empirical NNGP, or
        conjugate kernel, of the model as it is), and the empirical NTK.

    Raises
    ------
    ValueError
        As for `record` and `empirical_ntk`; or if a kernel is unknown or fewer than two classes are drawn.

    Notes
    -----
    NC1 needs many more samples than classes. NC1 of a part of the data is that of the part.

    Examples
    --------
    >>> import torch, kernel_collapse as kc
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    >>> labels = torch.arange(60) % 3
    >>> x = torch.eye(3, 4)[labels] + 0.1 * torch.randn(60, 4)
    >>> found = kc.torch.compare(model, [(x, labels)])
    >>> list(found)
    ['NNGP (relu)', 'NTK (relu)', 'features: input of 2', 'empirical NTK']
    """
    plain = unwrapped(model)
    _validate.count(samples, "samples", least=2)
    _validate.seed(seed)
    projection = None if isinstance(tangent, bool) else _validate.count(tangent, "tangent", least=1)
    wanted = _named(kernels, activation, depth)
    inputs, labels = drawn(loader, samples, seed, split)
    grams: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if wanted:
        forms = _Forms(inputs)
        for name, (kernel, _) in wanted.items():
            grams[name], sources[name] = np.asarray(kernel(forms, labels)), "data"
    with evaluating(plain):
        for layer, features in _features(plain, inputs, layers, reduce).items():
            name = f"features: {layer}"
            grams[name], sources[name] = features @ features.T, "model"
    parts: TangentKernel | None = None
    if tangent is not False:
        parts = empirical_ntk(plain, inputs, projection=projection, seed=seed)
        grams["empirical NTK"], sources["empirical NTK"] = parts.gram, "model"
    found = {}
    for name, gram in grams.items():
        try:
            found[name] = _compared(gram, labels, sources[name], parts if name == "empirical NTK" else None)
        except KernelRefused as refusal:
            if name in wanted and not wanted[name][1]:  # nobody knows whether a user's own code is a kernel
                raise
            reason = refusal.as_reason("centre and scale the inputs")
            found[name] = Compared(sources[name], *(float("nan"),) * 7, reason)
    return Comparison(found, grams, labels)


class _Forms:
    """The inputs of a model as kernels take them."""

    def __init__(self, inputs: Any) -> None:
        self._inputs = inputs

    @cached_property
    def rows(self) -> Float[np.ndarray, "n d"]:
        """Rows of numbers."""
        return _rows_of(self._inputs)

    @cached_property
    def images(self) -> Float[np.ndarray, "n h w c"]:
        """Images, channels last."""
        if isinstance(self._inputs, torch.Tensor) and self._inputs.ndim != 4:
            raise InputError(
                "inputs of the loader",
                f"of shape {tuple(self._inputs.shape)}",
                "images (n, channels, height, width), for a kernel of images",
                "give kernels of vectors, nngp and ntk",
                verb="are",
            )
        shape = self._inputs.shape if isinstance(self._inputs, torch.Tensor) else ()
        return np.ascontiguousarray(np.moveaxis(self.rows.reshape(tuple(shape)), 1, 3))

    def of(self, kernel: Kernel) -> Float[np.ndarray, "n ..."]:
        """Return what a kernel takes."""
        return self.images if kernel._of_images else self.rows


def _named(given: Any, activation: Any, depth: int) -> dict[str, tuple[Callable[[Any, Any], Any], bool]]:
    """Return functions of inputs and labels that give the Gram matrices, and whether they are ours, by their names."""
    several = list(given.items()) if isinstance(given, Mapping) else None
    if several is None:
        if isinstance(given, str | Kernel) or not isinstance(given, Iterable):
            raise InputError.of(
                "kernels", given, "several of them", "put it into a list, as in kernels=['nngp']", verb="are"
            )
        several = [("", kernel) for kernel in given]
    found: dict[str, tuple[Callable[[Any, Any], Any], bool]] = {}
    for asked, kernel in several:
        name, function = _one(kernel, activation, depth)
        name = _validate.text(asked, "the name of a kernel") if asked else name
        if name in found:
            raise InputError(
                "kernels", f"{name!r} twice", "a name each", "give a dict from names to kernels", verb="have"
            )
        found[name] = function, isinstance(kernel, str) or (isinstance(kernel, Kernel) and not kernel._given)
    return found


def _one(kernel: Any, activation: Any, depth: int) -> tuple[str, Callable[[Any, Any], Any]]:
    called_ = activation if isinstance(activation, str) else getattr(activation, "__name__", "activation")
    if isinstance(kernel, str):
        _validate.choice(kernel, ("nngp", "ntk", "adaptive", "deep-rfm", *OF_IMAGES), "a kernel by name")
        deep = f", depth {depth}" if depth != 1 else ""
        if kernel == "adaptive":
            return f"adaptive ({called_}{deep})", lambda x, labels: _adaptive(
                x.rows, labels, activation, depth
            )
        if kernel == "deep-rfm":
            return f"deep RFM ({called_}{deep})", lambda x, labels: _deep_rfm(
                x.rows, labels, activation, depth
            )
        named = resolve(kernel, activation=activation, depth=depth)
        shown = kernel.upper() if kernel not in OF_IMAGES else kernel
        return f"{shown} ({called_}{deep})", lambda x, _: named(x.of(named))
    if isinstance(kernel, Kernel):
        return str(kernel), lambda x, _: kernel(x.of(kernel))
    if callable(kernel) and not isinstance(kernel, type):
        return getattr(kernel, "__name__", "kernel"), lambda x, _: kernel(x.rows)
    raise InputError.of(
        "a kernel", kernel, "'nngp', 'ntk', 'adaptive', 'deep-rfm', a Kernel, or a function of the inputs"
    )


def _one_hot(labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n C"]:
    classes, codes = np.unique(labels, return_inverse=True)
    return np.eye(len(classes))[codes]


def _adaptive(x: Any, labels: Any, activation: Any, depth: int) -> Any:
    return solve_adaptive(x, _one_hot(labels), activation=activation, depth=depth).gram


def _deep_rfm(x: Any, labels: Any, activation: Any, depth: int) -> Any:
    found = deep_rfm(x, _one_hot(labels), activation=activation, depth=depth, labels=labels)
    if not np.isfinite(found.gram).all():
        raise InputError("'deep-rfm'", found.explanation.rstrip("."), "fewer layers", "lower depth")
    return found.gram


def _rows_of(inputs: Any) -> Float[np.ndarray, "n d"]:
    """Return inputs as one row of numbers a sample."""
    if not isinstance(inputs, torch.Tensor) or not inputs.is_floating_point():
        given = f"a tensor of {inputs.dtype}" if isinstance(inputs, torch.Tensor) else type(inputs).__name__
        raise InputError(
            "inputs of the loader",
            given,
            "one floating-point tensor, for kernels of the inputs",
            "give kernels=[] for the kernels of the model alone",
            verb="are",
        )
    flat = inputs.detach().flatten(1).to("cpu", torch.float64).numpy()
    return _validate.matrix(flat, "inputs of the loader")


def _features(
    model: nn.Module, inputs: Any, layers: Any, reduce: Reduce
) -> dict[str, Float[np.ndarray, "n p"]]:
    """Return the features of layers in float64."""
    device = device_of(model, alone=True)
    batches = [moved(part, device) for part in _parts(inputs)]
    plan = plan_of(model, batches[0], layers=layers, reduce=reduce, classifier=None)
    found: dict[str, list[torch.Tensor]] = {tap.layer: [] for tap in plan.taps}
    with Taps(model, plan.taps, reduce) as taps:
        for batch in batches:
            called(model, batch)
            for layer, features in taps.take()[0].items():
                found[layer].append(features.to("cpu", torch.float64))
    return {
        layer: _validate.matrix(torch.cat(parts).numpy(), f"features of layer {layer!r}")
        for layer, parts in found.items()
    }


def _parts(inputs: Any) -> Iterator[Any]:
    first = inputs
    while not isinstance(first, torch.Tensor):
        first = next(iter(first.values())) if isinstance(first, Mapping) else first[0]
    for top in range(0, len(first), ROWS):
        yield _cut(inputs, slice(top, top + ROWS))


def _cut(inputs: Any, here: slice) -> Any:
    return mapped(lambda tensor: tensor[here], inputs)


def _compared(
    gram: Any, labels: Int[np.ndarray, " n"], source: str, tangent: TangentKernel | None
) -> Compared:
    traces = nc1(gram, labels)
    value, error = traces.ratio, 0.0
    if tangent is not None:
        value, error = tangent.jackknife(lambda one: nc1(one, labels).ratio)
    target = kernel_target_alignment(gram, labels)
    centred = cka(gram, (labels[:, None] == labels).astype(float))
    blocks = block_structure(gram, labels)
    reasons = dict.fromkeys((traces.reason, target.reason, centred.reason, blocks.reason))
    return Compared(
        source,
        value,
        error,
        target.value,
        centred.value,
        blocks.diagonal,
        blocks.within,
        blocks.between,
        "; ".join(filter(None, reasons)),
    )
