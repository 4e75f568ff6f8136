"""What is to be measured: the measurements of kernels that are given by name, with their options."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from kernel_collapse import _validate
from kernel_collapse import activations as duals
from kernel_collapse._input_error import InputError
from kernel_collapse._methods import Measurement
from kernel_collapse.kernels import Kernel
from kernel_collapse.kernels.named import OF_IMAGES, resolve
from kernel_collapse.runs import trials
from kernel_collapse.runs.deep_rfm import DeepRFMNC1
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1

__all__ = ["specify"]

#: Options of `specify` that are of one kernel alone: whoever gives another value than the default means that kernel.
_OWN = {
    "adaptive": ("width", "readout_variance", "noise_variance"),
    "deep-rfm": ("fitted", "bandwidth", "ridge", "fits", "base", "base_depth"),
}


def specify(
    kernels: Sequence[str | Kernel],
    activations: Sequence[str],
    *,
    depth: int = 1,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
    width: float | Sequence[float] = 500.0,
    readout_variance: float = 1 / 128,
    noise_variance: float = 1e-6,
    fitted: str = "laplace",
    bandwidth: float = 2.0,
    ridge: float = 0.0,
    fits: int = 1,
    base: str | None = None,
    base_depth: int = 1,
) -> list[Measurement]:
    """Return the measurements of every kernel with every activation, the data themselves first.

    A `Kernel` has its own parameters: it is measured as it is, after those that are named. The kernels of convolutional
    networks, "conv-nngp" and so on, are made into such ones, with `depth` convolutions.
    `width`, `readout_variance` and `noise_variance` are the adaptive kernel's, which has no bias; `fitted`,
    `bandwidth`, `ridge` and `fits` are the deep RFM's, which has no prior variances; `base` is what it stands on in the
    place of the samples, "nngp", "ntk" or a kernel of images, of the same activation and of `base_depth` layers.

    Raises
    ------
    ValueError
        If a name is unknown or a parameter is out of range.
    """
    own = [resolve(kernel) for kernel in kernels if isinstance(kernel, Kernel | type)]
    named = [
        _validate.choice(kernel, ("nngp", "ntk", "adaptive", "deep-rfm", *OF_IMAGES), "kernel")
        for kernel in kernels
        if not isinstance(kernel, Kernel)
    ]
    for activation in activations:
        duals.get(activation)
    _validate.count(depth, "depth")
    _refuse_options_of_others(
        named,
        {
            "width": width,
            "readout_variance": readout_variance,
            "noise_variance": noise_variance,
            "fitted": fitted,
            "bandwidth": bandwidth,
            "ridge": ridge,
            "fits": fits,
            "base": base,
            "base_depth": base_depth,
        },
    )
    if base is not None:
        _validate.choice(base, ("nngp", "ntk", *OF_IMAGES), "base")
    elif base_depth != 1:
        raise InputError(
            "base_depth",
            f"the kernel below a deep RFM, and none is asked for (base_depth is {base_depth!r})",
            "base beside it",
            "give base, such as 'nngp', or leave base_depth out",
            verb="belongs to",
        )
    _require_none_of_the_others(named, weight_variance, bias_variance)
    if not named:
        _refuse_options_of_none(
            {"depth": depth, "weight_variance": weight_variance, "bias_variance": bias_variance}
        )
    from pydantic import ValidationError

    own = [
        *(
            resolve(
                kernel,
                activation=activation,
                depth=depth,
                weight_variance=weight_variance,
                bias_variance=bias_variance,
            )
            for activation in dict.fromkeys(activations)
            for kernel in dict.fromkeys(named)
            if kernel in OF_IMAGES
        ),
        *own,
    ]
    named = [kernel for kernel in named if kernel not in OF_IMAGES]
    shared = {"weight_variance": weight_variance}
    fixed = shared | {"depth": depth, "bias_variance": bias_variance}
    adaptive = shared | {
        "depth": depth,
        "width": width,
        "readout_variance": readout_variance,
        "noise_variance": noise_variance,
    }
    machine = {"depth": depth, "fitted": fitted, "bandwidth": bandwidth, "ridge": ridge, "fits": fits}

    def below(activation: str) -> dict[str, Any]:
        deep = {} if base_depth == 1 else {"depth": base_depth}  # which the name of a network says, too
        return {"base": {"kernel": base, "activation": activation} | deep}

    kinds: dict[str, tuple[type[AdaptiveNC1 | DeepRFMNC1 | KernelNC1], dict[str, Any]]] = {
        "nngp": (KernelNC1, fixed),
        "ntk": (KernelNC1, fixed),
        "adaptive": (AdaptiveNC1, adaptive),
        "deep-rfm": (DeepRFMNC1, machine),
    }
    try:
        return [
            KernelNC1(kernel="data"),
            *(
                kinds[kernel][0].model_validate(
                    {"kernel": kernel, "activation": activation}
                    | kinds[kernel][1]
                    | (below(activation) if base is not None and kernel == "deep-rfm" else {})
                )
                for activation in dict.fromkeys(activations)
                for kernel in dict.fromkeys(named)
            ),
            *dict.fromkeys(own),
        ]
    except ValidationError as error:
        raise trials.refusal(error) from None


def _refuse_options_of_others(kernels: Sequence[str], given: dict[str, Any]) -> None:
    """Refuse options of a kernel that is not asked for, which would do nothing."""
    options = inspect.signature(specify).parameters
    for kernel, names in _OWN.items():
        for name in names:
            if kernel not in kernels and given[name] != options[name].default:
                raise InputError(
                    name,
                    f"the kernel {kernel!r}, which is not asked for ({name} is {given[name]!r})",
                    f"{kernel!r} among the kernels",
                    f"ask for that kernel too, or leave {name} out",
                    verb="belongs to",
                )


def _refuse_options_of_none(given: dict[str, Any]) -> None:
    """Refuse options of kernels that are named, where none is."""
    options = inspect.signature(specify).parameters
    for name, value in given.items():
        if value != options[name].default:
            raise InputError(
                name,
                f"kernels that are named, and none is ({name} is {value!r})",
                "a kernel",
                f"ask for a kernel, such as 'nngp', or leave {name} out",
                verb="belongs to",
            )


def _require_none_of_the_others(kernels: Sequence[str], weight_variance: float, bias_variance: float) -> None:
    """Refuse variances of the prior beside a kernel that does not have them."""
    hint = "measure the other kernels in a run of their own"
    if "adaptive" in kernels and bias_variance != 0:
        raise InputError(
            "the adaptive kernel",
            f"asked for with bias_variance {bias_variance:g}",
            "no bias, which the equations of state do not have",
            hint,
        )
    if "deep-rfm" in kernels and (weight_variance, bias_variance) != (1.0, 0.0):
        raise InputError(
            "the deep RFM",
            f"asked for with weight_variance {weight_variance:g} and bias_variance {bias_variance:g}",
            "neither, for it has no prior",
            hint,
        )
