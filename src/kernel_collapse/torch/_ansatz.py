"""The neural feature ansatz of the linear layers of a model: one more pass over a loader, with gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from kernel_collapse._input_error import InputError
from kernel_collapse.rfm import FeatureAnsatz, feature_ansatz
from kernel_collapse.torch._agop import outer_products
from kernel_collapse.torch._batches import Split, device_of, moved, split_batch
from kernel_collapse.torch._names import taps_of

__all__ = ["LINEAR", "ansatz_of", "linear_layers"]

LINEAR = "all linear layers"


def linear_layers(model: nn.Module, asked: Any, loader: Any, several: bool) -> list[str]:
    """Return the names of the linear layers that are meant.

    Raises
    ------
    ValueError
        If another module is among them, the loader can be read once alone, or there are several processes.
    """
    modules = dict(model.named_modules())
    if asked == LINEAR:
        names = [name for name, module in modules.items() if name and isinstance(module, nn.Linear)]
        if not names:
            raise InputError("the model", "no linear layer", "one at least", "leave ansatz out", verb="has")
    else:
        names = [tap.module for tap in taps_of(model, asked, "")]
    for name in names:
        if not isinstance(modules[name], nn.Linear):
            raise InputError("ansatz", f"{name!r}, a {type(modules[name]).__name__}", "torch.nn.Linear")
    if isinstance(loader, Iterator):
        raise InputError(
            "the loader", "an iterator, which can be read once", "what starts again", "the AGOP takes a pass"
        )
    if several:
        raise InputError(
            "ansatz", "given in one of several processes", "one", "give processes='alone'", verb="is"
        )
    return names


def ansatz_of(
    model: nn.Module, loader: Iterable[Any], names: Sequence[str], split: Split | None
) -> dict[str, FeatureAnsatz]:
    """Return of each linear layer how well W'W matches the root of the AGOP in what it is given."""
    device = device_of(model, alone=split is None)
    sums: dict[str, torch.Tensor] = {}
    n = 0
    for number, batch in enumerate(loader):
        inputs, _ = split_batch(batch, split, number)
        found = outer_products(model, moved(inputs, device), names)
        if not sums:
            _require_one_row_a_sample(model, {name: len(total) for name, (total, _) in found.items()})
        sums = {name: total + sums.get(name, 0.0) for name, (total, _) in found.items()}
        n += next(iter(found.values()))[1]
    modules = dict(model.named_modules())
    answers = {}
    for name, total in sums.items():
        weight = modules[name].weight.detach().to(torch.float64)
        answers[name] = feature_ansatz((weight.T @ weight).cpu().numpy(), (total / n).cpu().numpy())
    return answers


def _require_one_row_a_sample(model: nn.Module, given: dict[str, int]) -> None:
    """Refuse a layer that is applied several times to a sample, as to each of its tokens."""
    modules = dict(model.named_modules())
    for name, dim in given.items():
        expected = modules[name].in_features
        if dim != expected:
            raise InputError(
                f"layer {name!r}",
                f"given {dim} numbers a sample, as where it is applied to each token",
                f"{expected}, those of its weights",
                "name other layers as ansatz",
            )
