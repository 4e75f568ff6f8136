"""The neural tangent kernel of a PyTorch model as it is: gradients of its outputs, block by block or projected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from kernel_collapse import _memory, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.torch._batches import called, device_of, mapped, moved
from kernel_collapse.torch._hooks import evaluating
from kernel_collapse.torch._names import unwrapped

__all__ = ["TangentKernel", "empirical_ntk"]

#: Bytes of gradients that are held at once.
AT_ONCE = 2**28
#: Independent parts of a projection, from which its error is told.
PARTS = 16


@dataclass(frozen=True)
class TangentKernel:
    """The empirical neural tangent kernel of a model.

    Attributes
    ----------
    gram : ndarray, shape (n, n)
        Mean over the outputs of the inner products of their gradients with respect to all parameters.
    parts : ndarray, shape (PARTS, n, n), or None
        Independent estimates of `gram`, which is their mean, if gradients were projected.
    """

    gram: Float[np.ndarray, "n n"]
    parts: Float[np.ndarray, "r n n"] | None = None

    def jackknife(self, statistic: Callable[[Float[np.ndarray, "n n"]], float]) -> tuple[float, float]:
        """Return a statistic of the kernel, and the standard error that the projection brings: 0 without one.

        With a projection the value is corrected for the bias to first order, as by Quenouille and Tukey.
        """
        value = float(statistic(self.gram))
        if self.parts is None:
            return value, 0.0
        r = len(self.parts)
        left_out = np.array([statistic((r * self.gram - part) / (r - 1)) for part in self.parts])
        mean = float(np.mean(left_out))
        error = float(np.sqrt((r - 1) / r * np.sum((left_out - mean) ** 2)))
        return r * value - (r - 1) * mean, error


def empirical_ntk(
    model: nn.Module, inputs: Any, *, projection: int | None = None, seed: int = 0
) -> TangentKernel:
    r"""Return the neural tangent kernel of a PyTorch model at its present weights.

    (1/C) sum_k <grad f_k(x), grad f_k(x')> over all parameters that require gradients, in evaluation. The Jacobian of
    all samples, outputs and parameters is never held: parameters are taken in blocks, one output at a time.

    Parameters
    ----------
    model : torch.nn.Module
        Its output is a tensor (n, C), or has it as `logits`.
    inputs : tensor, or tuple or dict of tensors, n samples along the first axis
    projection : int, optional
        Number of buckets of a count sketch of the gradients (Charikar et al. 2002), a multiple of 16, for models with
        many parameters: one gradient a sample and output is then computed once. The inner products are unbiased; the
        standard error of each is at most sqrt(2 / projection) of the root of the product of its two diagonal entries.
    seed : int
        Of the projection.

    Returns
    -------
    TangentKernel
        Gradients are in the precision of the model, their products are summed in float64.

    Raises
    ------
    ValueError
        If the model has no such output or no parameter to derive by, cannot be derived sample by sample, or a gradient
        is not finite.

    References
    ----------
    Jacot, Gabriel and Hongler (2018), arXiv 1806.07572; Novak et al. (2022), "Fast finite width neural tangent kernel",
    arXiv 2206.08720.

    Examples
    --------
    >>> import torch, kernel_collapse as kc
    >>> model = torch.nn.Linear(3, 2, bias=False)
    >>> x = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]])
    >>> kc.torch.empirical_ntk(model, x).gram.tolist()
    [[5.0, 2.0], [2.0, 2.0]]
    """
    plain = unwrapped(model)
    if projection is not None:
        _validate.count(projection, "projection", least=PARTS)
        if projection % PARTS:
            raise InputError.of("projection", projection, f"a multiple of {PARTS}")
    _validate.seed(seed)
    with evaluating(plain), torch.enable_grad():
        of = _Gradients(plain, moved(inputs, device_of(plain, alone=True)))
        n = of.n
        _memory.require(
            8.0 * n * n * (2 if projection is None else PARTS + 2),
            f"the tangent kernel of {n} samples",
            "give fewer samples",
        )
        if projection is None:
            return TangentKernel(_exact(of))
        parts = _projected(of, projection // PARTS, seed)
    return TangentKernel(parts.mean(axis=0), parts)


class _Gradients:
    """Gradients of one output at a time, a row a sample."""

    def __init__(self, model: nn.Module, inputs: Any) -> None:
        self._model, self._inputs = model, inputs
        self.parameters = {
            name: value.detach() for name, value in model.named_parameters() if value.requires_grad
        }
        if not self.parameters:
            raise InputError(
                "the model",
                "no parameter that requires gradients",
                "one at least",
                "see requires_grad_",
                verb="has",
            )
        fixed = [
            (name, value.detach()) for name, value in model.named_parameters() if not value.requires_grad
        ]
        self._fixed = dict(fixed) | dict(model.named_buffers())
        with torch.no_grad():
            outputs = logits_of(called(model, inputs))
        self.n, self.n_outputs = outputs.shape

    def rows(self, names: list[str], output: int, samples: slice) -> torch.Tensor:
        """Return the gradients of an output by the named parameters, shape (samples, entries of them)."""
        rest = {name: value for name, value in self.parameters.items() if name not in names} | self._fixed

        def value(wanted: dict[str, torch.Tensor], sample: Any) -> torch.Tensor:
            given = mapped(lambda tensor: tensor[None], sample)
            by_name = dict(given) if isinstance(given, Mapping) else {}
            in_order = () if by_name else tuple(given) if isinstance(given, tuple | list) else (given,)
            found = functional_call(self._model, wanted | rest, in_order, by_name)
            return logits_of(found)[0, output]

        chunk = mapped(lambda tensor: tensor[samples], self._inputs)
        try:
            found = vmap(grad(value), in_dims=(None, 0))(
                {name: self.parameters[name] for name in names}, chunk
            )
        except (RuntimeError, ValueError) as error:
            raise InputError(
                "the model",
                f"no function that can be derived sample by sample ({str(error).splitlines()[0][:200]})",
                "one without steps that depend on values or change buffers",
                "leave the tangent kernel out, or replace that module",
                verb="is",
            ) from None
        flat = torch.cat([found[name].flatten(1) for name in names], dim=1)
        if not bool(torch.isfinite(flat).all()):
            raise InputError(
                f"the gradient of output {output}",
                "not finite",
                "finite gradients",
                "look at the inputs and at the weights of the model",
            )
        return flat.to(torch.float64)


def logits_of(output: Any) -> torch.Tensor:
    """Return the outputs of a model, shape (n, C).

    Raises
    ------
    ValueError
        If there are none of that shape.
    """
    found = getattr(output, "logits", output)
    if isinstance(output, Mapping):
        found = output.get("logits")
    if not isinstance(found, torch.Tensor) or found.ndim != 2:
        given = (
            f"a tensor of shape {tuple(found.shape)}"
            if isinstance(found, torch.Tensor)
            else type(output).__name__
        )
        raise InputError(
            "the output of the model",
            given,
            "a tensor of shape (samples, outputs), or what has one as logits",
            "wrap the model in one that returns it",
        )
    return found


def _exact(of: _Gradients) -> Float[np.ndarray, "n n"]:
    gram = np.zeros((of.n, of.n))
    for names in _blocks(of):
        entries = sum(of.parameters[name].numel() for name in names)
        rows = max(1, min(of.n, AT_ONCE // (8 * entries)))
        for output in range(of.n_outputs):
            for here in _slices(of.n, rows):
                left = of.rows(names, output, here)
                for there in _slices(here.start, rows):
                    block = (left @ of.rows(names, output, there).T).cpu().numpy()
                    gram[here, there] += block
                    gram[there, here] += block.T
                gram[here, here] += (left @ left.T).cpu().numpy()
    return gram / of.n_outputs


def _blocks(of: _Gradients) -> Iterator[list[str]]:
    """Return names of parameters whose gradients at all samples can be held at once; one parameter at least."""
    names: list[str] = []
    entries = 0
    for name, value in of.parameters.items():
        if names and 8 * of.n * (entries + value.numel()) > AT_ONCE:
            yield names
            names, entries = [], 0
        names.append(name)
        entries += value.numel()
    yield names


def _projected(of: _Gradients, buckets: int, seed: int) -> Float[np.ndarray, "r n n"]:
    """Return the kernels of independent count sketches, each of that many buckets."""
    entries = sum(value.numel() for value in of.parameters.values())
    device = next(iter(of.parameters.values())).device
    rows = max(1, min(of.n, AT_ONCE // (16 * entries)))
    _memory.require(
        (4.0 * PARTS + 24.0 * rows) * entries + 8.0 * PARTS * of.n * 3 * buckets,
        f"a projection of {entries} parameters for {of.n} samples",
        "give fewer samples, or let fewer parameters require gradients",
    )
    source = torch.Generator().manual_seed(seed)
    # The bucket of an entry, and whether it counts there with a minus: those have the buckets of the second half.
    place = torch.randint(2 * buckets, (PARTS, entries), generator=source, dtype=torch.int32).to(device)
    parts = np.zeros((PARTS, of.n, of.n))
    for output in range(of.n_outputs):
        sketch = torch.zeros((PARTS, of.n, buckets), dtype=torch.float64, device=device)
        for here in _slices(of.n, rows):
            gradients = of.rows(list(of.parameters), output, here)
            for part in range(PARTS):
                both = gradients.new_zeros((len(gradients), 2 * buckets)).index_add_(
                    1, place[part], gradients
                )
                sketch[part, here] = both[:, :buckets] - both[:, buckets:]
        parts += (sketch @ sketch.transpose(1, 2)).cpu().numpy()
    return parts / of.n_outputs


def _slices(n: int, rows: int) -> Iterator[slice]:
    return (slice(top, min(top + rows, n)) for top in range(0, n, rows))
