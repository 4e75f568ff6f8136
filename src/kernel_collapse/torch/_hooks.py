"""Modules listened to while the model runs, and everything as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from kernel_collapse._input_error import InputError
from kernel_collapse.torch._features import reduced, reduction_of
from kernel_collapse.torch._names import Tap

__all__ = ["Taps", "evaluating", "given"]


def given(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Return what a module is called with: the value alone, or all values if there are several."""
    values = (*arguments, *keywords.values())
    return values[0] if len(values) == 1 else values


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every module into evaluation, without gradients; then its own flag and the random state are as before.

    The random state, for a loader draws from it at each start: training goes on as if nothing had been recorded.
    """
    flags = {module: module.training for module in model.modules()}
    state = torch.get_rng_state()
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, flag in flags.items():
            module.training = flag
        torch.set_rng_state(state)


class Taps:
    """Hooks that keep the features of the forward pass that is under way; they are gone at the end of ``with``."""

    def __init__(self, model: nn.Module, taps: Sequence[Tap], reduce: Any, classifier: str = "") -> None:
        self._modules = dict(model.named_modules())
        self._taps, self._classifier = taps, classifier
        self._how = {tap.layer: reduction_of(reduce, tap.layer) for tap in taps}
        self._seen: dict[str, list[torch.Tensor]] = {}
        self._logits: torch.Tensor | None = None
        self._handles: list[Any] = []

    def __enter__(self) -> Taps:
        for tap in self._taps:
            module = self._modules[tap.module]
            if tap.of_input:
                self._handles.append(module.register_forward_pre_hook(self._before(tap), with_kwargs=True))
            else:
                self._handles.append(module.register_forward_hook(self._after(tap)))
        if self._classifier:
            self._handles.append(self._modules[self._classifier].register_forward_hook(self._keep))
        return self

    def __exit__(self, *raised: Any) -> None:
        for handle in self._handles:
            handle.remove()

    def take(self) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """Return the features by layer and the logits of the forward pass that has ended.

        Raises
        ------
        ValueError
            If a layer was not called, or more than once.
        """
        seen, logits = self._seen, self._logits
        self._seen, self._logits = {}, None
        for tap in self._taps:
            times = len(seen.get(tap.layer, ()))
            if times != 1:
                raise called_times(tap.module, times)
        return {tap.layer: seen[tap.layer][0] for tap in self._taps}, logits

    def _before(self, tap: Tap) -> Any:
        def hook(module: nn.Module, arguments: Any, keywords: Any) -> None:
            self._put(tap.layer, given(arguments, keywords))

        return hook

    def _after(self, tap: Tap) -> Any:
        def hook(module: nn.Module, arguments: Any, value: Any) -> None:
            self._put(tap.layer, value)

        return hook

    def _put(self, layer: str, value: Any) -> None:
        self._seen.setdefault(layer, []).append(_own(reduced(value, self._how[layer], layer)))

    def _keep(self, module: nn.Module, arguments: Any, value: torch.Tensor) -> None:
        self._logits = _own(value.detach())


def _own(value: torch.Tensor) -> torch.Tensor:
    """Return values that no later module changes in place, as ReLU(inplace=True) changes what it is given."""
    return value.clone()


def called_times(module: str, times: int) -> InputError:
    """Return the refusal of a module that is called never, or more than once."""
    if not times:
        return InputError(
            f"layer {module!r}",
            "never called in a forward pass in evaluation",
            "a module that the model calls",
            f"leave it out, as by '!{module}' among the layers",
        )
    return InputError(
        f"layer {module!r}",
        f"called {times} times in one forward pass",
        "one call",
        "make a module for each call, or record a layer before or after it",
    )
