"""What of a model is recorded: found on the first batch, before any work, and refused there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.torch._batches import called
from kernel_collapse.torch._features import reduced, reduction_of
from kernel_collapse.torch._hooks import called_times, given
from kernel_collapse.torch._names import BEFORE_LAST, INPUT, Tap, matching, taps_of

__all__ = ["Plan", "classes_of", "plan_of"]


@dataclass(frozen=True)
class Plan:
    """Where features are read, the last linear layer, and the layers whose features are what that is given."""

    taps: list[Tap]
    classifier: str
    before_classifier: tuple[str, ...]


@dataclass
class _Seen:
    """What happened in a forward pass."""

    calls: dict[str, int]
    linear: list[tuple[str, torch.Tensor, torch.Tensor]]  # name, what it is given, what it returns
    values: dict[str, Any]  # of the taps
    output: Any = None


def plan_of(model: nn.Module, inputs: Any, *, layers: Any, reduce: Any, classifier: Any) -> Plan:
    """Return what is recorded; the model is called once.

    Raises
    ------
    ValueError
        If a layer is unknown, not called or called twice, has features whose shape nothing tells what to do with, or
        there is no classifier where one is needed.
    """
    _refuse_reduce(model, reduce)
    asked = (
        [layers] if isinstance(layers, str) else _validate.several(layers, "layers", "['layer1', 'layer2']")
    )
    named = [one for one in asked if one != BEFORE_LAST]
    first = any(not str(one).startswith("!") for one in named)
    seen = _watched(model, inputs, taps_of(model, named, "") if first else [])
    last = _classifier(model, seen, classifier)
    taps = taps_of(model, asked, last)
    for tap in taps:
        if seen.calls.get(tap.module, 0) != 1:
            raise called_times(tap.module, seen.calls.get(tap.module, 0))
    before: tuple[str, ...] = ()
    if last:
        given_last = next(value for name, value, _ in reversed(seen.linear) if name == last)
        seen.values.setdefault(INPUT + last, given_last)
    features = {
        tap.layer: reduced(seen.values[tap.layer], reduction_of(reduce, tap.layer), tap.layer) for tap in taps
    }
    if last:
        before = tuple(
            layer
            for layer, value in features.items()
            if value.shape == given_last.shape and _alike(value, given_last)
        )
    return Plan(taps, last, before)


def _watched(model: nn.Module, inputs: Any, taps: list[Tap]) -> _Seen:
    """Call the model and return what its modules did."""
    seen = _Seen({}, [], {})
    wanted = {(tap.module, tap.of_input): tap.layer for tap in taps}
    handles = []

    def watch(name: str, module: nn.Module) -> None:
        def before(module: nn.Module, arguments: Any, keywords: Any) -> None:
            if (name, True) in wanted:
                seen.values[wanted[name, True]] = _kept(given(arguments, keywords))

        def after(module: nn.Module, arguments: Any, keywords: Any, value: Any) -> None:
            seen.calls[name] = seen.calls.get(name, 0) + 1
            if isinstance(module, nn.Linear):
                seen.linear.append((name, _kept(given(arguments, keywords)), _kept(value)))
            if (name, False) in wanted:
                seen.values[wanted[name, False]] = _kept(value)

        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(after, with_kwargs=True))

    try:
        for name, module in model.named_modules():
            watch(name, module)
        seen.output = called(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _kept(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _classifier(model: nn.Module, seen: _Seen, asked: Any) -> str:
    """Return the name of the last linear layer; empty if there is none, or none is wanted."""
    if asked is False:
        return ""
    if asked is not None:
        (name, *more) = matching(model, _validate.text(asked, "classifier"), "classifier")
        module = dict(model.named_modules())[name]
        if more or not isinstance(module, nn.Linear):
            raise InputError("classifier", f"{asked!r}, a {type(module).__name__}", "one torch.nn.Linear")
        if seen.calls.get(name, 0) != 1:
            raise called_times(name, seen.calls.get(name, 0))
        return name
    if not seen.linear:
        return ""
    name, _, value = seen.linear[-1]
    # Whatever comes after the last linear layer of a classifier (a softmax, say) keeps its shape and what it decides.
    outputs = [tensor for tensor in _tensors(seen.output) if tensor.shape == value.shape]
    if value.ndim != 2 or not outputs or seen.calls[name] != 1:
        return ""
    if len(outputs) > 1:
        raise InputError(
            "the model",
            f"{len(outputs)} outputs of shape {tuple(value.shape)}, any of which may decide the class",
            "one that does",
            "name its last linear layer by classifier=, or leave it out by classifier=False",
            verb="returns",
        )
    return name if _decides(value, outputs[0]) else ""


def _decides(value: torch.Tensor, output: torch.Tensor) -> bool:
    """Whether the class of the largest output is, of every sample, that of the largest value of the last layer.

    A sample whose values are NaN tells nothing. If all values of the last layer are, it is taken for the classifier:
    what is recorded is then refused, by the name of its layer.

    Raises
    ------
    ValueError
        If the output alone is NaN, for every sample.
    """
    lost = value.isnan().any(dim=1)
    told = ~(lost | output.isnan().any(dim=1).to(value.device))
    if not bool(told.any()):
        if bool(lost.all()):
            return True
        raise InputError(
            "the output of the model",
            "NaN for every sample of the first batch whose last linear layer gives numbers",
            "finite numbers",
            "look at what follows that layer, or leave its weights out by classifier=False",
        )
    value, output = value[told], output[told.to(output.device)]
    chosen = output.gather(1, value.argmax(dim=1, keepdim=True).to(output.device))[:, 0]
    return bool((chosen >= output.max(dim=1).values).all())


def _tensors(output: Any) -> list[torch.Tensor]:
    """Return the tensors of what a model returns, which may be a dict or a tuple of them."""
    if isinstance(output, torch.Tensor):
        return [output]
    parts = (
        output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    )
    return [part for part in parts if isinstance(part, torch.Tensor)]


def _alike(value: torch.Tensor, given_last: torch.Tensor) -> bool:
    """Whether features are what the last layer is given, but for the rounding of what pooled them."""
    eps = torch.finfo(given_last.dtype).eps
    wide = given_last.to(value.dtype)
    return bool(((value - wide).abs() <= 4.0 * eps * wide.abs().max()).all())


def classes_of(model: nn.Module, classifier: str, n_classes: int | None) -> int:
    """Return the number of classes: as given, or the outputs of the last linear layer.

    Raises
    ------
    ValueError
        If nothing tells it, or the two differ.
    """
    outputs = dict(model.named_modules())[classifier].out_features if classifier else None
    if n_classes is None and outputs is None:
        raise InputError(
            "n_classes",
            "not given, and the model has no linear layer at its end that tells",
            "the number of classes",
            "give n_classes=",
        )
    wanted = int(outputs or 0) if n_classes is None else _validate.count(n_classes, "n_classes", least=2)
    if (outputs is not None and wanted != outputs) or wanted < 2:
        raise InputError(
            f"the last linear layer {classifier!r}",
            f"{outputs} outputs",
            "an output a class" if n_classes is None else f"{n_classes}, one a class",
            "give n_classes= and classifier=False, which leaves its weights out",
            verb="has",
        )
    return wanted


def _refuse_reduce(model: nn.Module, reduce: Any) -> None:
    if isinstance(reduce, Mapping):
        for layer in reduce:
            reduction_of(reduce, layer)
            if layer.startswith("input of "):
                matching(model, layer.removeprefix("input of "), "a layer of reduce")
            else:
                matching(model, layer, "a layer of reduce")
    else:
        reduction_of(reduce, "")
