"""A batch of a loader as what the model is called with, and the labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from kernel_collapse._input_error import InputError

__all__ = ["Split", "called", "device_of", "like", "mapped", "moved", "precision", "split_batch"]

Split = Callable[[Any], tuple[Any, Any]]
#: What labels are called in a dict; the first is that of Hugging Face.
LABELS = ("labels", "label")


def device_of(model: nn.Module, *, alone: bool) -> torch.device | None:
    """Return the device that inputs are moved to; None where there are no parameters, or `split` puts them in place.

    Raises
    ------
    ValueError
        If the model has no values, or lies on several devices and `alone` says that nobody puts inputs in place.
    """
    devices = list(dict.fromkeys(str(parameter.device) for parameter in model.parameters()))
    if "meta" in devices:
        raise InputError(
            "the model",
            "on the meta device",
            "one with values",
            "load its weights, as by model.to_empty(device=...)",
        )
    if len(devices) > 1:
        if alone:
            raise _several_devices(devices)
        return None
    return torch.device(devices[0]) if devices else None


def _several_devices(devices: Sequence[str]) -> InputError:
    """Return the refusal of a model that lies on several devices."""
    return InputError(
        "the model",
        f"on {' and '.join(devices)}",
        "one device",
        "move it with model.to(...), or put inputs where they belong with split=",
    )


def split_batch(batch: Any, split: Split | None, number: int) -> tuple[Any, Any]:
    """Return inputs and labels of a batch: a pair, or a dict with labels.

    Raises
    ------
    ValueError
        If it has no labels, or more parts than two.
    """
    if split is not None:
        found = split(batch)
        if not isinstance(found, tuple) or len(found) != 2:
            raise InputError.of("what split returned", found, "a pair (inputs, labels)")
        return found
    if isinstance(batch, Mapping):
        named = next((name for name in LABELS if name in batch), None)
        if named is not None:
            return {name: value for name, value in batch.items() if name != named}, batch[named]
        given = f"a dict of {', '.join(map(repr, batch))}"
    elif isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    elif isinstance(batch, tuple | list):
        given = f"a {type(batch).__name__} of {len(batch)}"
    else:
        given = f"a {type(batch).__name__} without labels"
    raise InputError(
        f"batch {number} of the loader",
        given,
        "a pair (inputs, labels), or a dict with 'labels'",
        "give a loader with labels, or split= a function of a batch that returns the pair",
    )


def moved(value: Any, device: torch.device | None) -> Any:
    """Return inputs with every tensor on the device."""
    if device is None:
        return value
    return mapped(lambda tensor: tensor.to(device, non_blocking=True), value)


def mapped(function: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """Return inputs with the function of every tensor in its place."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {name: mapped(function, part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return like(value, [mapped(function, part) for part in value])
    return value


def like(value: tuple[Any, ...] | list[Any], parts: list[Any]) -> Any:
    """Return other parts as a tuple or list of its type; a named tuple takes them one by one."""
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


def called(model: nn.Module, inputs: Any) -> Any:
    """Call a model with inputs: a dict by name, a tuple one by one.

    Whatever the model raises stays as it is. If the inputs are of another precision than the weights, it says so, too.
    """
    try:
        if isinstance(inputs, Mapping):
            return model(**inputs)
        return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)
    except RuntimeError as error:
        given, weights = _precisions(inputs), _precisions(list(model.parameters()))
        if len(given) == len(weights) == 1 and given != weights:
            error.add_note(
                f"The batch holds {given[0]} and the weights of the model are {weights[0]}: convert one of them, as by "
                f"x.to(torch.{weights[0]}) or model.to(torch.{given[0]})."
            )
        raise


def _precisions(value: Any) -> list[str]:
    """Return the floating-point types of the tensors of inputs, each once, as PyTorch names them."""
    found: dict[str, None] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_floating_point():
            found[str(tensor.dtype).removeprefix("torch.")] = None
        return tensor

    mapped(note, value)
    return list(found)


def precision(autocast: Any) -> torch.dtype | None:
    """Return the precision of autocast; None leaves it as it is."""
    if autocast is None or autocast in (torch.bfloat16, torch.float16):
        return autocast
    raise InputError.of("autocast", autocast, "torch.bfloat16, torch.float16 or None", "try torch.bfloat16")
