"""What a law of data is: a frozen class whose fields are its parameters, and a function that is sugar over it."""

from __future__ import annotations

import hashlib
import inspect
import json
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import cache, partial
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    ParamSpec,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._shapes import Float, Int
from kernel_collapse.data._dataset import Dataset, default_targets

__all__ = [
    "D2_TARGETS",
    "Apart",
    "Checked",
    "Classes",
    "Columns",
    "Count",
    "Distance",
    "Flag",
    "Law",
    "Placed",
    "Positive",
    "Ratio",
    "Scale",
    "Share",
    "function",
    "line",
    "line_targets",
    "orthonormal",
    "titled",
]

P = ParamSpec("P")
Columns = dict[str, tuple[str, str]]
#: Targets of the paper's D2.
D2_TARGETS = (-3.0, -1.0, 1.0, 3.0)


class Checked:
    """Mark of a parameter: the door that a function takes it through, and what a specification keeps of it.

    Parameters
    ----------
    check : callable, optional
        Returns the clean value, or refuses it by its name.
    stored : type, optional
        What a specification holds, where that is less than the function takes.
    frozen : callable, optional
        Makes the value that a specification holds, where it is of no one type.
    **bounds
        Those of the specification, in the words of pydantic, which asks the mark for them: nothing here imports it.
    """

    def __init__(
        self,
        check: Callable[[Any, str], Any] | None = None,
        *,
        stored: Any = None,
        frozen: Callable[[Any], Any] | None = None,
        **bounds: Any,
    ) -> None:
        self.check, self.stored, self.frozen, self.bounds = check, stored, frozen, bounds

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """Return the schema of the type, with the bounds."""
        schema = handler(source) | self.bounds
        if self.frozen is None:
            return schema
        call = {"type": "no-info", "function": self.frozen}
        return {"type": "function-after", "function": call, "schema": schema}


Count = Annotated[int, Checked(_validate.count, gt=0)]
Classes = Annotated[int, Checked(partial(_validate.count, least=2), ge=2)]
Positive = Annotated[float, Checked(_validate.positive, gt=0)]
#: A standard deviation or a radius.
Scale = Annotated[float, Checked(_validate.moderate, gt=0)]
Distance = Annotated[float, Checked(partial(_validate.moderate, zero_allowed=True), ge=0)]
Share = Annotated[float, Checked(_validate.share, ge=0, lt=1)]
Ratio = Annotated[float, Checked(ge=1)]
Flag = Annotated[bool, Checked(_validate.flag, strict=True)]


@dataclass(frozen=True, eq=False)
class Law(ABC):
    """What every law has; one that is made has clean parameters, or is refused.

    A subclass names itself by `law` and draws its samples. The specification of a sweep (`kernel_collapse.runs.laws`)
    is made of it, with the same fields.
    """

    if TYPE_CHECKING:
        law: ClassVar[str]
    else:  # to pydantic a field, since that of a specification has its name
        law: str = field(default="", init=False)

    #: Meaning and unit of the parameters that are its own.
    columns: ClassVar[Columns] = {}
    #: Parameters of the function that no specification has.
    of_a_call: ClassVar[tuple[str, ...]] = ("seed",)
    #: Parameters younger than the first stored rows, whose keys they must not change where they are not said.
    young: ClassVar[tuple[str, ...]] = ()
    #: Whether the class means are on a line, so that four classes have the targets of D2.
    on_a_line: ClassVar[bool] = False

    n: Count = 1024
    dim: Count = 1
    _: KW_ONLY
    class_sizes: Annotated[Sequence[int] | None, Checked(stored=tuple[Count, ...] | None)] = None
    imbalance: Ratio | None = None
    seed: Annotated[int, Checked(_validate.seed)] = 0

    if TYPE_CHECKING:  # a field where any number of classes will do, else a property

        @property
        def n_classes(self) -> int:
            """Number of classes."""

    def __post_init__(self) -> None:
        for name, check in _checks(type(self)).items():
            object.__setattr__(self, name, check(getattr(self, name), name))
        _validate.size(self.n, self.dim)
        _validate.fits(self.n * self.dim, f"{self.n} samples of {self.dim} features", "lower n or dim")
        sizes = self.sizes
        if self.class_sizes is not None:
            object.__setattr__(self, "class_sizes", sizes)

    @property
    def name(self) -> str:
        """The law, with the options that are not the default."""
        return titled(self.law, self.options())

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of the samples of a law of images; of others empty."""
        return ()

    def options(self) -> dict[str, Any]:
        """Return the options that are not the default, beside the sizes."""
        beside = ("law", "n", "dim", "class_sizes", *self.of_a_call)
        values = {f.name: (getattr(self, f.name), f.default) for f in fields(self) if f.name not in beside}
        return {name: value for name, (value, default) in values.items() if value != default}

    @property
    def sizes(self) -> tuple[int, ...]:
        """Samples in each class."""
        return _validate.class_sizes(self.class_sizes, self.n, self.n_classes, self.imbalance)

    @property
    def labels(self) -> Int[np.ndarray, " n"]:
        """Class of each sample, in ascending order."""
        return np.repeat(np.arange(self.n_classes), self.sizes)

    def normals(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return standard normal coordinates, as class after class ``rng.normal(size=(n_c, dim))`` gives them."""
        return rng.normal(size=(self.n, self.dim))

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""

    def sample(self, seed: int | None = None) -> Dataset:
        """Return samples with labels and targets, of a seed that is not its own where one is given."""
        seed = self.seed if seed is None else _validate.seed(seed)
        x = self.draw(np.random.default_rng(seed))
        targets = (line_targets if self.on_a_line else default_targets)(self.n_classes, self.n)
        return Dataset(
            x,
            self.labels,
            targets[self.labels],
            self.law,
            tuple(range(self.n_classes)),
            image_shape=self.image_shape,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Apart(Law):
    """Any number of classes at a distance from one another."""

    n_classes: Classes = 2
    separation: Distance = 4.0

    @property
    def centres(self) -> Float[np.ndarray, "n 1"]:
        """Mean of the class of each sample, the same in every coordinate."""
        return line(self.n_classes, self.separation)[self.labels, None]


@dataclass(frozen=True, eq=False, kw_only=True)
class Placed(Apart):
    """And with a standard deviation."""

    std: Scale = 0.5


def function(law: Callable[P, Law]) -> Callable[P, Dataset]:
    """Return the function of a law, whose parameters and words are those of the class."""
    cls = cast(type[Law], law)

    def sampler(*args: P.args, **kwargs: P.kwargs) -> Dataset:
        return law(*args, **kwargs).sample()

    said = cls.__doc__ or ""
    proper = said.startswith("Gaussian")
    sampler.__doc__ = f"Return {said[:1] if proper else said[:1].lower()}{said[1:]}"
    sampler.__name__ = sampler.__qualname__ = cls.law.replace("-", "_")
    sampler.__module__ = cls.__module__
    plain = [p.replace(annotation=p.empty) for p in inspect.signature(cls).parameters.values()]
    sampler.__signature__ = inspect.Signature(plain, return_annotation=Dataset)  # type: ignore[attr-defined]
    return sampler


@cache
def _checks(law: type[Law]) -> dict[str, Callable[[Any, str], Any]]:
    """Return the door of each parameter that has one."""
    hints = get_type_hints(law, include_extras=True)
    found = {f.name: _door(hints[f.name]) for f in fields(law)}
    return {name: door for name, door in found.items() if door is not None}


def _door(hint: Any) -> Callable[[Any, str], Any] | None:
    if get_origin(hint) is Literal:
        return lambda value, name: _validate.choice(value, get_args(hint), name)
    if get_origin(hint) is Annotated:
        return next((mark.check for mark in hint.__metadata__ if isinstance(mark, Checked)), None)
    if get_origin(hint) in (Union, types.UnionType) and get_args(hint)[1:] == (type(None),):
        inner = _door(get_args(hint)[0])
        return inner and (lambda value, name: None if value is None else inner(value, name))
    return None


def titled(law: str, options: dict[str, Any]) -> str:
    """Return the name of a law with options, in which a matrix is named by a hash of its entries."""
    said = []
    for key, value in options.items():
        text = value if isinstance(value, str) else json.dumps(value)
        said.append(f"{key}={text if len(text) <= 40 else hashlib.sha256(text.encode()).hexdigest()[:8]}")
    return f"{law}({', '.join(said)})" if said else law


def line(n_classes: int, separation: float) -> Float[np.ndarray, " C"]:
    """Return the coordinate of each class mean, `separation` apart and centred: -2 and 2 on D1."""
    return separation * (np.arange(n_classes) - (n_classes - 1) / 2)


def line_targets(n_classes: int, n: int) -> Float[np.ndarray, "C k"]:
    """Return the targets of classes on a line: those of D1 for two, of D2 for four, else one-hot."""
    return np.array(D2_TARGETS)[:, None] if n_classes == len(D2_TARGETS) else default_targets(n_classes, n)


def orthonormal(rng: np.random.Generator, dim: int, columns: int) -> Float[np.ndarray, "d m"]:
    """Return a uniformly random orthonormal frame: the Q of a Gaussian matrix whose R has a positive diagonal.

    Without that choice of signs Q is not uniform: Mezzadri, *How to generate random matrices from the classical
    compact groups*, Notices of the AMS 54 (2007).
    """
    q, r = np.linalg.qr(rng.normal(size=(dim, columns)))
    return q * np.where(r.diagonal() < 0, -1.0, 1.0)
