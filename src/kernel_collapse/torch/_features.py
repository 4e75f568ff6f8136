"""What a module returns as one row of features a sample: never guessed, for each way answers another question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError

__all__ = ["REDUCE", "Reduce", "reduced", "reduction_of"]

#: "pool" is the mean over positions of (samples, channels, ...), where "... token" is of (samples, tokens, features).
REDUCE = ("flatten", "pool", "mean token", "first token", "last token")

Reduce = str | Callable[[Any], torch.Tensor] | Mapping[str, Any] | None


def reduction_of(reduce: Any, layer: str) -> Any:
    """Return what is asked of a layer: of a mapping the entry of its name."""
    if isinstance(reduce, Mapping):
        reduce = reduce.get(layer)
    if reduce is None or callable(reduce):
        return reduce
    return _validate.choice(reduce, REDUCE, "reduce")


def reduced(value: Any, how: Any, layer: str) -> torch.Tensor:
    """Return features of shape (samples, features).

    Raises
    ------
    ValueError
        If there are more dimensions and nothing says what becomes of them.
    """
    if callable(how):
        value = how(value)
        name = f"what reduce returned of layer {layer!r}"
        if not isinstance(value, torch.Tensor) or value.ndim != 2:
            given = (
                f"of shape {tuple(value.shape)}"
                if isinstance(value, torch.Tensor)
                else _validate.shown(value)
            )
            raise InputError(name, given, "a tensor of shape (samples, features)")
        return value.detach()
    if isinstance(value, tuple | list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, torch.Tensor):
        raise InputError(
            f"layer {layer!r}",
            f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, tuple | list) else ""),
            "a tensor",
            f"say which by a function, as in reduce={{{layer!r}: lambda value: value[0]}}",
            verb="gives",
        )
    value = value.detach()
    if value.ndim == 2:
        return value
    _refuse(value, how, layer)
    if how == "flatten":
        return value.flatten(1)
    if how == "first token":
        return value[:, 0]
    if how == "last token":
        return value[:, -1]
    return _mean(value if how == "mean token" else value.flatten(2).transpose(1, 2))


def _mean(value: torch.Tensor) -> torch.Tensor:
    """Return the mean over the positions of (samples, positions, features), in more digits than the features have."""
    if value.device.type != "cpu":
        return value.mean(dim=1, dtype=torch.float32 if value.device.type == "mps" else torch.float64)
    # NumPy's sum in float64 takes a fifth of the time that PyTorch's takes, for it converts in the cache.
    wide = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    return torch.from_numpy(wide.numpy().sum(axis=1, dtype=np.float64) / value.shape[1])


def _refuse(value: torch.Tensor, how: str | None, layer: str) -> None:
    """Refuse shapes for which the reduction is not told, or has no meaning."""
    shape = f"features of shape {tuple(value.shape)}"
    if value.ndim < 2:
        raise InputError(
            f"layer {layer!r}", shape, "(samples, features)", "record another layer", verb="gives"
        )
    tokens = (
        ", 'mean token', 'first token' or 'last token' (samples, tokens, features)" if value.ndim == 3 else ""
    )
    if how is None:
        raise InputError(
            f"layer {layer!r}",
            shape,
            "(samples, features)",
            f"say what becomes of them by reduce=: 'flatten', 'pool' (mean over positions of samples, channels, ...)"
            f"{tokens}, or a function",
            verb="gives",
        )
    if how.endswith("token") and value.ndim != 3:
        raise InputError(
            f"layer {layer!r}",
            shape,
            f"(samples, tokens, features) for {how!r}",
            "try 'flatten' or 'pool'",
            verb="gives",
        )
