"""Which modules of a model are meant by names, patterns and words."""

from __future__ import annotations

import difflib
import re
from typing import Any, NamedTuple

from torch import nn

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError

__all__ = ["ACTIVATIONS", "BEFORE_LAST", "INPUT", "Tap", "matching", "taps_of", "unwrapped"]

BEFORE_LAST = "before the last linear layer"
ACTIVATIONS = "all activations"
#: Before a name or a pattern: what the module is given, not what it returns.
INPUT = "input of "
#: Classes beside activations in the same file of PyTorch.
_NO_ACTIVATIONS = (nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax)
#: Most names that a sentence offers.
OFFERED = 12


class Tap(NamedTuple):
    """Where features are read: of a module what it is given or what it returns."""

    layer: str  # as it is called in the record
    module: str
    of_input: bool


def unwrapped(model: Any) -> nn.Module:
    """Return the model that DistributedDataParallel, DataParallel or torch.compile was put around."""
    _validate.instance(model, nn.Module, "model", "give a torch.nn.Module; kc.record takes functions")
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = model._orig_mod
        else:
            return model


def taps_of(model: nn.Module, layers: Any, classifier: str) -> list[Tap]:
    """Return where features are read, in the order asked for; `classifier` is empty if there is none."""
    asked = (
        [layers] if isinstance(layers, str) else _validate.several(layers, "layers", "['layer1', 'layer2']")
    )
    if not asked or not all(isinstance(one, str) for one in asked):
        raise InputError.of(
            "layers", layers, "names or patterns of modules", "try 'layer*' or 'all activations'"
        )
    taps: dict[str, Tap] = {}
    for one in asked:
        left_out = one.startswith("!")
        found = _of_one(model, one.removeprefix("!"), classifier)
        for tap in found:
            if left_out:
                taps.pop(tap.layer, None)
            else:
                taps.setdefault(tap.layer, tap)
    if not taps:
        raise InputError.of("layers", layers, "a layer at least", "all of them are left out by '!'")
    return list(taps.values())


def _of_one(model: nn.Module, asked: str, classifier: str) -> list[Tap]:
    if asked == BEFORE_LAST:
        if not classifier:
            raise InputError(
                "the model",
                "no linear layer whose output is that of the model",
                "one",
                f"name the layers, as in layers=[{_offer(model)}]",
                verb="has",
            )
        return [Tap(INPUT + classifier, classifier, True)]
    if asked == ACTIVATIONS:
        found = [
            Tap(name, name, False)
            for name, module in model.named_modules()
            if type(module).__module__ == "torch.nn.modules.activation"
            and not isinstance(module, _NO_ACTIVATIONS)
        ]
        if not found:
            raise InputError(
                "the model",
                "no module that is an activation, and functions cannot be hooked",
                "one",
                f"name the layers, as in layers=[{_offer(model)}]",
                verb="has",
            )
        return found
    of_input = asked.startswith(INPUT)
    names = matching(model, asked.removeprefix(INPUT), "layers")
    return [Tap(INPUT * of_input + name, name, of_input) for name in names]


def matching(model: nn.Module, pattern: str, what: str) -> list[str]:
    """Return the names of the modules that a pattern means: `*` within a level of the name, `**` across levels.

    Raises
    ------
    ValueError
        If there is none; some that there are are offered.
    """
    expression = "".join(
        {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}.get(part, re.escape(part))
        for part in re.split(r"(\*\*|\*|\?)", pattern)
    )
    names = [name for name, _ in model.named_modules() if name]
    found = [name for name in names if re.fullmatch(expression, name)]
    if not found:
        close = difflib.get_close_matches(pattern, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {_offer(model)}"
        raise InputError.of(what, pattern, "the name of a module, or a pattern of names", hint)
    return found


def _offer(model: nn.Module) -> str:
    names = [name for name, _ in model.named_modules() if name]
    more = f" and {len(names) - OFFERED} more" if len(names) > OFFERED else ""
    return ", ".join(map(repr, names[:OFFERED])) + more
