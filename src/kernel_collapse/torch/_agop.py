"""The average gradient outer product of a PyTorch model, in its inputs or in what a layer is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from kernel_collapse import _memory
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.torch._batches import called, device_of, moved
from kernel_collapse.torch._hooks import called_times, evaluating
from kernel_collapse.torch._names import matching, unwrapped
from kernel_collapse.torch._tangent import logits_of

__all__ = ["agop", "outer_products"]


def agop(model: nn.Module, inputs: Any, *, layer: str | None = None) -> Float[np.ndarray, "d d"]:
    r"""Return the average gradient outer product of a model, (1/n) sum_ak grad f_k(x_a) grad f_k(x_a)'.

    The gradients are those of the outputs with respect to the input of a module, in evaluation mode.

    Parameters
    ----------
    model : torch.nn.Module
        Its output is a tensor (n, C), or has it as `logits`.
    inputs : tensor, n samples along the first axis; or tuple or dict of tensors, where a layer is named
    layer : str, optional
        The name of a module; the gradient is in its input, flattened to one row a sample. By default it is in the
        inputs of the model.

    Returns
    -------
    ndarray, shape (d, d)
        Compare it with W'W of a linear layer by `kernel_collapse.rfm.feature_ansatz`. The gradients are in the
        precision of the model. Their products are summed in float64.

    Raises
    ------
    ValueError
        If the model has no such output, there is no such module or it is not called once with one tensor, or a
        gradient is not finite.

    References
    ----------
    Radhakrishnan et al. (2024), "Mechanism for feature learning in neural networks and backpropagation-free machine
    learning models", Science 383.

    Examples
    --------
    >>> import torch, kernel_collapse as kc
    >>> model = torch.nn.Linear(3, 2, bias=False)
    >>> m = kc.torch.agop(model, torch.eye(3))
    >>> weight = model.weight.detach().double().numpy()
    >>> float(abs(m - weight.T @ weight).max()) < 1e-6
    True
    """
    plain = unwrapped(model)
    names = None if layer is None else _one(plain, layer)
    with evaluating(plain):
        ((total, n),) = outer_products(plain, moved(inputs, device_of(plain, alone=True)), names).values()
    return (total / n).cpu().numpy()


def _one(model: nn.Module, layer: str) -> list[str]:
    names = matching(model, layer, "layer")
    if len(names) > 1:
        raise InputError.of("layer", layer, "the name of one module", f"as in layer={names[0]!r}")
    return names


def outer_products(
    model: nn.Module, inputs: Any, names: Sequence[str] | None
) -> dict[str, tuple[torch.Tensor, int]]:
    """Return of each module the sum of the outer products of gradients in what it is given, and of how many samples.

    Without names it is that in the inputs of the model, under the name "". The model is in evaluation.
    """
    with torch.enable_grad():
        outputs, at = _passed(model, inputs, names)
        rows = {name: given.flatten(1) if given.ndim > 1 else given[:, None] for name, given in at.items()}
        totals = {name: _nothing(given) for name, given in rows.items()}
        for k in range(outputs.shape[1]):
            found = torch.autograd.grad(
                outputs[:, k].sum(),
                [*at.values()],
                retain_graph=k < outputs.shape[1] - 1,
                allow_unused=True,
                materialize_grads=True,
            )
            for name, gradient in zip(at, found, strict=True):
                jacobian = gradient.reshape(rows[name].shape).to(torch.float64)
                totals[name] += jacobian.T @ jacobian
    if not all(bool(torch.isfinite(total).all()) for total in totals.values()):
        raise InputError("a gradient", "not finite", "finite gradients", "look at the inputs and the weights")
    return {name: (total, len(rows[name])) for name, total in totals.items()}


def _nothing(rows: torch.Tensor) -> torch.Tensor:
    """Return zeros for the outer products of rows, for which there must be memory."""
    dim = rows.shape[1]
    _memory.require(16.0 * dim * dim, f"the AGOP of {dim} features", "take a layer of fewer")
    return torch.zeros((dim, dim), dtype=torch.float64, device=rows.device)


def _passed(
    model: nn.Module, inputs: Any, names: Sequence[str] | None
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the outputs and the tensors that they are derived by: what modules are given.

    That of a module alone is cut off from its past; of several each leads to the next.
    """
    if names is None:
        if not isinstance(inputs, torch.Tensor) or not inputs.is_floating_point():
            raise InputError(
                "inputs",
                f"a {type(inputs).__name__} that is no floating-point tensor",
                "one floating-point tensor",
                "name a layer, as in layer='fc'",
                verb="are",
            )
        start = inputs.detach().clone().requires_grad_(True)
        return logits_of(called(model, start.clone())), {"": start}
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in names}

    def tap(name: str) -> Any:
        def hook(module: nn.Module, arguments: Any, keywords: Any) -> Any:
            if keywords or len(arguments) != 1 or not isinstance(arguments[0], torch.Tensor):
                raise InputError(f"layer {name!r}", "called with several values", "one tensor")
            given = arguments[0]
            joined = len(names) > 1 and given.requires_grad
            seen[name].append(given.clone() if joined else given.detach().clone().requires_grad_(True))
            return (seen[name][-1].clone(),), keywords  # a module may work in place

        return hook

    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_pre_hook(tap(name), with_kwargs=True) for name in names]
    try:
        outputs = logits_of(called(model, inputs))
    finally:
        for handle in handles:
            handle.remove()
    for name, given in seen.items():
        if len(given) != 1:
            raise called_times(name, len(given))
    return outputs, {name: given for name, (given,) in seen.items()}
