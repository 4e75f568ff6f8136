"""A history that grows while a model trains, in a loop of one's own or in a trainer's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import nn

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.recording import History, Record
from kernel_collapse.torch._names import BEFORE_LAST
from kernel_collapse.torch._record import record

__all__ = ["Callback"]

#: Class means of the newest record, with which one pass is enough.
PREVIOUS = "previous"


class Callback:
    """Record a model at chosen epochs while it trains.

    In your own loop call ``callback(model, epoch)``. PyTorch Lightning (``Trainer(callbacks=[callback])``) and the
    Trainer of Hugging Face (``Trainer(callbacks=[callback])``) call it by their hooks: at the start, which is epoch
    0, and at the end of each epoch. An epoch is then the number of completed epochs. Neither package is needed.

    Parameters
    ----------
    loader : iterable
        As for `kernel_collapse.torch.record`: the samples that are measured, which need not be those of the training.
    layers : str or sequence of str
        As for `record`.
    epochs : int, sequence or callable, optional
        When to record: every so many epochs, from 0; at the listed epochs; or whenever a function of the epoch is
        true. By default at every epoch.
    decide : {"second pass", "previous", "none"} or Record
        As for `record`; "previous" takes the class means of the newest record, if there is one with the same layers,
        and saves the second pass.
    path : path-like, optional
        An .npz file to which the history is saved after each record.
    history : History, optional
        A history to continue, such as that of a job that was stopped: ``History.load(path)``. Epochs that it contains
        are not recorded again.
    **options
        As for `record`: `reduce`, `n_classes`, `classifier`, `metrics`, `weighting`, `split`, `autocast`, `processes`,
        `ansatz`, `progress`.

    Attributes
    ----------
    history : History
        The records so far.

    Raises
    ------
    ValueError
        If an option is unknown or out of its range. Errors of `record` are raised when the callback records.

    Examples
    --------
    >>> import torch, kernel_collapse as kc
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    >>> labels = torch.arange(60) % 3
    >>> loader = [(torch.eye(3, 4)[labels] + 0.1 * torch.randn(60, 4), labels)]
    >>> callback = kc.torch.Callback(loader, epochs=10)
    >>> for epoch in range(21):
    ...     _ = callback(model, epoch)  # and a step of the training
    >>> callback.history.epochs
    (0, 10, 20)
    """

    #: What Lightning calls what a callback stores in its checkpoints, which is nothing.
    state_key = "kernel_collapse.torch.Callback"
    _legacy_state_key = state_key

    history: History

    def __init__(
        self,
        loader: Iterable[Any],
        layers: str | Sequence[str] = BEFORE_LAST,
        *,
        epochs: int | Sequence[float] | Callable[[float], bool] | None = None,
        decide: str | Record = "second pass",
        path: str | os.PathLike[str] | None = None,
        history: History | None = None,
        **options: Any,
    ) -> None:
        for option in options:
            _validate.choice(option, OPTIONS, "an option of Callback")
        if not isinstance(decide, Record):
            _validate.choice(decide, ("second pass", PREVIOUS, "none"), "decide")
        self.history = (
            History()
            if history is None
            else _validate.instance(history, History, "history", "load one with History.load")
        )
        self._loader, self._layers, self._options, self._decide = loader, layers, options, decide
        self._chosen = _choice_of(epochs)
        self._path = None if path is None else _validate.path(path, "path", "the name of an .npz file")
        if self._path is not None and self._path.suffix != ".npz":
            raise InputError(
                "path", f"{str(path)!r}", "a name that ends in .npz", f"try {str(path) + '.npz'!r}"
            )

    def __call__(self, model: nn.Module, epoch: float) -> Record | None:
        """Record the model if the epoch is among those chosen, and return the record.

        Raises
        ------
        ValueError
            If the epoch is not later than the newest record; or as `kernel_collapse.torch.record`.
        """
        if not self._chosen(epoch):
            return None
        decide = self._decide
        if decide == PREVIOUS:
            known = self.history[-1] if len(self.history) else None
            decide = known if known is not None and known.class_means else "second pass"
        found = record(model, self._loader, self._layers, decide=decide, **self._options)
        self.history.append(found, epoch)
        if self._path is not None and _writes():
            self.history.save(self._path)
        return found

    # -- the hooks of trainers

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Record what Lightning is about to train."""
        self._reached(pl_module, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Record what Lightning has trained for an epoch; it counts that epoch later."""
        self._reached(pl_module, trainer.current_epoch + 1)

    def on_train_begin(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Record what the Trainer of Hugging Face is about to train."""
        self._reached(known["model"], state.epoch or 0)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Record what the Trainer of Hugging Face has trained for an epoch."""
        self._reached(known["model"], state.epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the history has a file of its own."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load nothing."""

    def __getattr__(self, name: str) -> Any:
        """Return a hook that does nothing, for the many others that trainers call."""
        if name.startswith("on_") or name in ("setup", "teardown"):
            return _nothing
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _reached(self, model: nn.Module, epoch: float) -> None:
        """Record, unless the history has that epoch from a job before."""
        number = round(epoch, 6)
        if not self.history.epochs or number > self.history.epochs[-1]:
            self(model, int(number) if number == int(number) else number)


#: What goes through to `record`.
OPTIONS = (
    "reduce",
    "n_classes",
    "classifier",
    "metrics",
    "weighting",
    "split",
    "autocast",
    "processes",
    "ansatz",
    "progress",
)


def _nothing(*arguments: Any, **keywords: Any) -> None:
    """Do nothing."""


def _writes() -> bool:
    """Whether this process writes the file, of which there is one for all of them."""
    from torch import distributed

    several = distributed.is_available() and distributed.is_initialized()
    return not several or distributed.get_rank() == 0


def _choice_of(epochs: Any) -> Callable[[float], bool]:
    if epochs is None:
        return lambda epoch: True
    if callable(epochs):
        return lambda epoch: bool(epochs(epoch))
    if isinstance(epochs, int) or not hasattr(epochs, "__iter__"):
        every = _validate.count(epochs, "epochs")
        return lambda epoch: epoch % every == 0
    known = {_validate.finite(one, "epochs") for one in _validate.several(epochs, "epochs", "[0, 10, 100]")}
    return lambda epoch: epoch in known
