"""The collapse of what a function returns: networks of JAX, Flax and Equinox, and any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

import array_api_compat
import numpy as np

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
    classifier : array, shape (C, p), or dict of such arrays by layer, optional
        Weights of the last layer, a row a class: of the only layer, or of the last in the dict. Flax and JAX keep the
        transpose, (p, C). A function under `jax.jit` returns its dict sorted by name. So in a sorted dict of JAX or
        NumPy an array alone is that of the only layer that it fits. Where it fits several, name the layer, as in
        ``classifier={"layer": weights}``.
    bias : array, shape (C,), or dict of such arrays by layer, optional
        Of the last layer, or by layer as `classifier`.
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
        from 0), labels are not 0 to C - 1, the sums do not fit into memory, or a classifier fits several layers whose
        order is not known.

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
    readouts = _Readouts(classifier, bias)
    wanted = Wanted(_validate.count(n_classes, "n_classes", least=2), metrics, weighting, decide)
    size = len(batches) if isinstance(batches, Sized) else None
    shown = Progress(progress, size if size is None else size * (1 + (decide == "second pass")))

    def passes() -> Iterator[Batch]:
        for number, given in enumerate(batches):
            inputs, labels = _pair(given, number)
            found, logits = _named(features(inputs))
            readouts.look(found)
            yield Batch(found, labels, logits)
            shown.step()

    try:
        return collect(
            passes, wanted, lambda _: readouts.by_layer, classifier="" if classifier is None else "classifier"
        )
    finally:
        shown.close()


class _Readouts:
    """The layers that classifiers follow, which are known with the features of the first batch."""

    def __init__(self, classifier: Any, bias: Any) -> None:
        if bias is not None and classifier is None:
            raise InputError("a bias", "given without a classifier", "its weights", "give classifier=")
        named = isinstance(classifier, Mapping)
        if bias is not None and isinstance(bias, Mapping) != named:
            raise InputError(
                "the bias",
                "by layer and the classifier not" if not named else "an array and the classifier by layer",
                "both by layer, or both an array",
                'give classifier={"layer": weights} and bias={"layer": bias}',
            )
        for layer in bias if named and bias is not None else ():
            if layer not in classifier:
                raise InputError(f"the bias of layer {layer!r}", "without a classifier", "its weights")
        self._classifier, self._bias = classifier, bias
        self.by_layer: dict[str, tuple[Any, Any]] = {}

    def look(self, features: Mapping[str, Any]) -> None:
        """Find the layers of the classifiers, once."""
        if self.by_layer or self._classifier is None or not features:
            return
        if not isinstance(self._classifier, Mapping):
            self.by_layer = {_last(features, self._classifier): (self._classifier, self._bias)}
            return
        for layer in self._classifier:
            if layer not in features:
                raise InputError(
                    f"classifier of layer {layer!r}",
                    "given",
                    f"one of the layers {', '.join(map(repr, features))}",
                    "use a name that the function returns",
                )
        biases = self._bias or {}
        self.by_layer = {layer: (weights, biases.get(layer)) for layer, weights in self._classifier.items()}


def _last(features: Mapping[str, Any], classifier: Any) -> str:
    """Return the layer that a classifier follows: the last, where the order of the dict says which that is.

    JAX returns dicts sorted by name, and its arrays may have been read into NumPy since. There it is the only layer
    that the classifier fits.
    """
    names = list(features)
    maybe_of_jax = all(
        isinstance(values, np.ndarray) or array_api_compat.is_jax_array(values)
        for values in features.values()
    )
    if len(names) == 1 or not maybe_of_jax or names != sorted(names) or not _validate.dimensions(classifier):
        return names[-1]
    width = tuple(np.shape(classifier))[-1:]
    fitting = [name for name, values in features.items() if tuple(values.shape)[-1:] == width]
    if len(fitting) > 1:
        raise InputError(
            "the classifier",
            f"of {width[0]} features, as layers {', '.join(map(repr, fitting))} are",
            "the name of its layer, because JAX sorts a dict by name, so that its last need not be the last layer",
            f"give classifier={{{fitting[-1]!r}: weights}}, and the bias likewise, if it follows that layer",
        )
    return fitting[0] if fitting else names[-1]


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
