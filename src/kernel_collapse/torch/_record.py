"""The layers of a model recorded: one pass over a loader, or two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from typing import Any

import torch
from torch import nn

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.collapse import Weighting
from kernel_collapse.recording import Alone, Batch, Progress, Record, Wanted, collect, refuse_decide
from kernel_collapse.torch._ansatz import ansatz_of, linear_layers
from kernel_collapse.torch._batches import Split, called, device_of, moved, precision, split_batch
from kernel_collapse.torch._features import Reduce
from kernel_collapse.torch._hooks import Taps, evaluating
from kernel_collapse.torch._names import BEFORE_LAST, unwrapped
from kernel_collapse.torch._plan import Plan, classes_of, plan_of
from kernel_collapse.torch._processes import Together, are_several

__all__ = ["PROCESSES", "record"]

PROCESSES = ("merged", "alone")


def record(
    model: nn.Module,
    loader: Iterable[Any],
    layers: str | Sequence[str] = BEFORE_LAST,
    *,
    reduce: Reduce = None,
    n_classes: int | None = None,
    classifier: str | bool | None = None,
    decide: str | Record = "second pass",
    metrics: str = "all",
    weighting: Weighting = "paper",
    split: Split | None = None,
    autocast: torch.dtype | None = None,
    processes: str = "merged",
    ansatz: str | Sequence[str] | None = None,
    progress: bool | Callable[[int, int | None], Any] | None = None,
) -> Record:
    r"""Return every metric of neural collapse of layers of a PyTorch model.

    The model is put into evaluation mode, without gradients. Afterwards its training flags, hooks and the random
    state are as before, also after an error. Batches go to the device of the model. Features are converted to float64
    and added up. The features of all samples are never held at once.

    Parameters
    ----------
    model : torch.nn.Module
        The model. Wrappers by DistributedDataParallel, DataParallel or torch.compile are removed.
    loader : iterable
        Of pairs (inputs, labels) or dicts with "labels": a DataLoader, a list of batches. Labels are class numbers, 0
        to C - 1. Inputs that are a dict are given by name, a tuple one by one.
    layers : str or sequence of str
        The layers to record: names of modules (their output is recorded); patterns, in which ``*`` stays within a
        level of a name and ``**`` does not; "all activations"; "input of NAME", the input of a module; "before the
        last linear layer", which is found automatically. A name after "!" is left out again.
    reduce : str, callable or mapping, optional
        How features of more than two dimensions are reduced, or a mapping that says so for each layer: "flatten";
        "pool", the mean over positions of (samples, channels, ...); "mean token", "first token", "last token" of
        (samples, tokens, features); or a function of what the layer returns. There is no default.
    n_classes : int, optional
        Number of classes C; by default the outputs of the last linear layer.
    classifier : str or False, optional
        Name of the last linear layer. By default it is the one that is called last, if the model's output has the
        shape of its output and chooses the same classes; of a model with several outputs of that shape it must be
        named. False means none. Its weights and bias enter the metrics of the features that it receives
        (NC3 and its kin). Its output chooses the class in `nc4` and `accuracy` of every layer.
    decide : {"second pass", "none"} or Record
        `nc4` and `ncm_accuracy` need the class means first. The options are a second pass over the loader, leaving
        both out, or the class means of an earlier record (for example of the last epoch). `Record.decided` says which
        was used.
    metrics : {"all", "traces"}
        "traces" keeps no scatter within the classes, p^2 numbers a layer; see `kernel_collapse.Accumulator`.
    weighting
        As for `kernel_collapse.collapse`.
    split : callable, optional
        A function that takes a batch and returns the pair (inputs, labels), for loaders of anything else. The inputs
        are still moved to the device of the model, if it is on one.
    autocast : torch.dtype, optional
        Run under `torch.autocast` of that type. By default an autocast that surrounds the call is respected.
    processes : {"merged", "alone"}
        Under `torch.distributed`, every process must call this with its own samples, and each gets the record of all.
        "alone": this process is the only one that calls.
    ansatz : str or sequence of str, optional
        Linear layers, as `layers` names them or "all linear layers", whose W'W is set beside the root of the average
        gradient outer product in what they are given (`kernel_collapse.torch.agop`): `Record.ansatz`. It takes a pass
        with gradients more, in the precision of the model.
    progress : bool or callable
        True draws a bar; a function is called as progress(done, total) with numbers of batches.

    Returns
    -------
    Record
        A `Collapse` a layer. A class without a sample is left out, and `reason` names it.

    Raises
    ------
    ValueError
        If a layer is unknown, never called or called twice in a forward pass; if features have more than two
        dimensions and nothing says what becomes of them, change their width, or are not finite (layer and batch are
        named, counted from 0); if there is no batch, it has no labels, or these are not 0 to C - 1; if the model is on
        several devices or none; if the sums do not fit into memory.

    Notes
    -----
    A loader that shuffles or augments gives other samples in the second pass. A DistributedSampler repeats
    samples so that each process has the same number; the repeated samples are counted twice.

    Examples
    --------
    >>> import torch, kernel_collapse as kc
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    >>> labels = torch.arange(60) % 3
    >>> x = torch.eye(3, 4)[labels] + 0.1 * torch.randn(60, 4)
    >>> loader = [(x[:30], labels[:30]), (x[30:], labels[30:])]
    >>> found = kc.torch.record(model, loader, ["0", "before the last linear layer"])
    >>> list(found), found.classifier, found["input of 2"].nc1 < 0.5
    (['0', 'input of 2'], '2', True)
    """
    _validate.choice(processes, PROCESSES, "processes")
    _validate.choice(metrics, ("all", "traces"), "metrics")
    plain = unwrapped(model)
    refuse_decide(decide, loader)
    several = processes == "merged" and are_several()
    linear = [] if ansatz is None else linear_layers(plain, ansatz, loader, several)
    together = Together() if several else Alone()
    with evaluating(plain):
        reader: _Reader | None = None
        failed: Exception | None = None
        try:
            reader = _Reader(
                plain,
                loader,
                split,
                precision(autocast),
                layers=layers,
                reduce=reduce,
                classifier=classifier,
                n_classes=n_classes,
            )
        except (
            Exception
        ) as error:  # whatever the model or the loader raises: the other processes wait for this one
            failed = error
        together.agree(failed)
        assert reader is not None
        shown = Progress(progress, _total(loader, decide))
        try:
            found = collect(
                lambda: reader.batches(shown),
                Wanted(reader.n_classes, metrics, weighting, decide),
                lambda _: reader.classifiers(),
                together,
                reader.plan.classifier,
            )
            return replace(found, ansatz=ansatz_of(plain, loader, linear, split)) if linear else found
        finally:
            shown.close()


def _total(loader: Any, decide: Any) -> int | None:
    try:
        return len(loader) * (2 if decide == "second pass" else 1)
    except TypeError:  # of a loader that does not know
        return None


class _Reader:
    """A model and a loader, of which the first batch has been looked at."""

    def __init__(
        self,
        model: nn.Module,
        loader: Iterable[Any],
        split: Split | None,
        autocast: torch.dtype | None,
        **wanted: Any,
    ) -> None:
        self._model, self._loader, self._split = model, loader, split
        self._device, self._autocast = device_of(model, alone=split is None), autocast
        self._reduce = wanted["reduce"]
        n_classes = wanted.pop("n_classes")
        batches = iter(loader)
        try:
            first = next(batches)
        except StopIteration:
            raise InputError(
                "the loader", "empty", "a batch at least", "is the data set empty, or used up?"
            ) from None
        #: The rest of the pass that has been begun, for it may be the only one.
        self._begun: Iterator[Any] | None = chain([first], batches)
        inputs, _ = split_batch(first, split, 0)
        with self._precision():
            self.plan: Plan = plan_of(model, moved(inputs, self._device), **wanted)
        self.n_classes = classes_of(model, self.plan.classifier, n_classes)

    def batches(self, shown: Progress) -> Iterator[Batch]:
        """Go through the loader once."""
        begun, self._begun = self._begun, None
        with Taps(self._model, self.plan.taps, self._reduce, self.plan.classifier) as taps:
            for number, batch in enumerate(self._loader if begun is None else begun):
                inputs, labels = split_batch(batch, self._split, number)
                with self._precision():
                    called(self._model, moved(inputs, self._device))
                features, logits = taps.take()
                yield Batch(features, labels, logits)
                shown.step()

    def classifiers(self) -> Mapping[str, tuple[torch.Tensor, torch.Tensor | None]]:
        """Return weights and bias of the last linear layer, for each layer whose features it is given."""
        if not self.plan.classifier:
            return {}
        last = dict(self._model.named_modules())[self.plan.classifier]
        bias = None if last.bias is None else last.bias.detach()
        return dict.fromkeys(self.plan.before_classifier, (last.weight.detach(), bias))

    def _precision(self) -> Any:
        if self._autocast is None:
            return nullcontext()
        return torch.autocast(self._device.type if self._device else "cpu", dtype=self._autocast)
