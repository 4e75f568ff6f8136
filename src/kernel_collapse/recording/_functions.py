"""The collapse of what a function returns: networks of JAX, Flax and Equinox, and any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.collapse import Weighting
from kernel_collapse.recording._collect import Batch, Wanted, collect, refuse_decide
from kernel_collapse.recording._progress import Progress
from kernel_collapse.recording._record import Record

__all__ = ["record"]


def record(
    features: Callable[[Any], Any],
    batches: Iterable[tuple[Any, Any]],
    *,
    n_classes: int,
    classifier: Any = None,
    bias: Any = None,
    decide: str | Record = "second pass",
    metrics: str = "all",
    weighting: Weighting = "paper",
    progress: bool | Callable[[int, int | None], Any] | None = None,
) -> Record:
    """Return every metric of collapse of the features that a function returns, batch by batch.

    It works for networks of JAX, Flax and Equinox, and for any other function of the inputs. The features of all
    samples are never held at once. `kernel_collapse.torch.record` finds the layers of a PyTorch model by itself.

    Parameters
    ----------
    features : callable
        A function of the inputs of a batch. It returns an array (m, p) of any library, or a dict of such arrays by
        layer. It may also return a pair of that and the logits (m, C), from which `accuracy` and `nc4` are computed.
    batches : iterable of (inputs, labels)
        Labels are class numbers, 0 to C - 1. An iterable that can be read only once, such as a generator, needs
        ``decide="none"`` or a record.
    n_classes : int
        Number of classes C.
    classifier : array, shape (C, p), optional
        Weights of the last layer, a row a class: of the only layer, or of the last in the dict. Flax and JAX keep the
        transpose, (p, C).
    bias : array, shape (C,), optional
        Of the last layer.
    decide : {"second pass", "none"} or Record
        `nc4` and `ncm_accuracy` need the class means. They come from a first pass of this call over the same batches,
        or from an earlier record (for example of the last epoch), or both metrics are left out. `Record.decided` says
        which was used.
    metrics : {"all", "traces"}
        "traces" keeps no scatter within the classes, p^2 numbers a layer; see `kernel_collapse.Accumulator`.
    weighting
        As for `kernel_collapse.collapse`.
    progress : bool or callable
        True draws a bar; a function is called as progress(done, total) with numbers of batches.

    Returns
    -------
    Record
        A `Collapse` a layer. A class without a sample is left out, and `reason` names it.

    Raises
    ------
    ValueError
        If there is no batch, shapes or the layers change, a value is not finite (layer and batch are named, counted
        from 0), labels are not 0 to C - 1, or the sums do not fit into memory.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, numpy as np, kernel_collapse as kc
    >>> weights = jax.random.normal(jax.random.key(0), (4, 16))
    >>> labels = np.arange(90) % 3
    >>> x = np.eye(3, 4)[labels] + 0.1 * np.random.default_rng(0).normal(size=(90, 4))
    >>> batches = [(x[k : k + 30], labels[k : k + 30]) for k in range(0, 90, 30)]
    >>> found = kc.record(jax.jit(lambda x: {"hidden": jax.nn.relu(x @ weights)}), batches, n_classes=3)
    >>> found["hidden"].nc1 < 0.2
    True
    """
    _validate.function(features, "features", "of the inputs of a batch", arguments=1)
    refuse_decide(decide, batches)
    wanted = Wanted(_validate.count(n_classes, "n_classes", least=2), metrics, weighting, decide)
    size = len(batches) if isinstance(batches, Sized) else None
    shown = Progress(progress, size if size is None else size * (1 + (decide == "second pass")))

    def passes() -> Iterator[Batch]:
        for number, given in enumerate(batches):
            inputs, labels = _pair(given, number)
            found, logits = _named(features(inputs))
            yield Batch(found, labels, logits)
            shown.step()

    def of_last(layers: Sequence[str]) -> dict[str, tuple[Any, Any]]:
        return {} if classifier is None else {layers[-1]: (classifier, bias)}

    if bias is not None and classifier is None:
        raise InputError("a bias", "given without a classifier", "its weights", "give classifier=")
    try:
        return collect(passes, wanted, of_last, classifier="" if classifier is None else "classifier")
    finally:
        shown.close()


def _pair(given: Any, number: int) -> tuple[Any, Any]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise InputError.of(
            f"batch {number}", given, "a pair (inputs, labels)", "zip inputs and labels, batch by batch"
        )
    return given[0], given[1]


def _named(returned: Any) -> tuple[Mapping[str, Any], Any]:
    """Return features by layer, and the logits if there are any."""
    logits = None
    if isinstance(returned, tuple) and len(returned) == 2:
        returned, logits = returned
    return (returned if isinstance(returned, Mapping) else {"features": returned}), logits
