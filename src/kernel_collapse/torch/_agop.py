"""The average gradient outer product of a PyTorch model, in its inputs or in what a layer is given."""

from __future__ import annotations

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

__all__ = ["agop"]


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
    with evaluating(plain), torch.enable_grad():
        given = moved(inputs, device_of(plain, alone=True))
        outputs, at = _passed(plain, given, layer)
        rows = at.flatten(1) if at.ndim > 1 else at[:, None]
        dim = rows.shape[1]
        _memory.require(16.0 * dim * dim, f"the AGOP of {dim} features", "take a layer of fewer")
        total = torch.zeros((dim, dim), dtype=torch.float64, device=at.device)
        for k in range(outputs.shape[1]):
            last = k == outputs.shape[1] - 1
            (found,) = torch.autograd.grad(
                outputs[:, k].sum(), at, retain_graph=not last, allow_unused=True, materialize_grads=True
            )
            jacobian = found.reshape(len(rows), dim).to(torch.float64)
            total += jacobian.T @ jacobian
        if not bool(torch.isfinite(total).all()):
            raise InputError(
                "a gradient", "not finite", "finite gradients", "look at the weights of the model"
            )
        return (total / len(rows)).cpu().numpy()


def _passed(model: nn.Module, inputs: Any, layer: str | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the outputs and the tensor that they are derived by: what a module is given, cut off from its past."""
    if layer is None:
        if not isinstance(inputs, torch.Tensor) or not inputs.is_floating_point():
            raise InputError(
                "inputs",
                f"a {type(inputs).__name__} that is no floating-point tensor",
                "one floating-point tensor",
                "name a layer, as in layer='fc'",
                verb="are",
            )
        start = inputs.detach().clone().requires_grad_(True)
        return logits_of(called(model, start)), start
    (name, *others) = matching(model, layer, "layer")
    if others:
        raise InputError.of("layer", layer, "the name of one module", f"as in layer={name!r}")
    seen: list[torch.Tensor] = []

    def hook(module: nn.Module, arguments: Any, keywords: Any) -> Any:
        if keywords or len(arguments) != 1 or not isinstance(arguments[0], torch.Tensor):
            raise InputError(f"layer {name!r}", "called with several values", "one tensor")
        seen.append(arguments[0].detach().clone().requires_grad_(True))
        return (seen[-1],), keywords

    handle = dict(model.named_modules())[name].register_forward_pre_hook(hook, with_kwargs=True)
    try:
        outputs = logits_of(called(model, inputs))
    finally:
        handle.remove()
    if len(seen) != 1:
        raise called_times(name, len(seen))
    return outputs, seen[0]
