"""Specifications of data, of a sweep and of a trial: a law or a table, its sizes and options, without the seed.

A specification is a frozen pydantic model, named by its `law`. Its `sample` returns the data set of a seed. A
specification that its function in `kernel_collapse.data` would refuse is refused when it is made. The specification
of a law has the fields of the class of the law.

>>> from kernel_collapse.runs import laws
>>> law = laws.StudentT(n=10, dim=3, df=2.5, imbalance=4)
>>> law.name, law.sample(0).class_sizes
('student-t(imbalance=4.0, df=2.5)', (8, 2))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from functools import lru_cache, reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_type_hints

from pydantic import (
    Discriminator,
    SerializerFunctionWrapHandler,
    Tag,
    create_model,
    model_serializer,
    model_validator,
)

from kernel_collapse import _validate, data
from kernel_collapse._input_error import InputError
from kernel_collapse._specification import Specification
from kernel_collapse.data import catalogue
from kernel_collapse.data.law import Law, Share
from kernel_collapse.runs.tables import FileContent, FileData, ShippedData, file_names

__all__ = [
    "LAWS",
    "SPECIFICATIONS",
    "Data",
    "FileContent",
    "FileData",
    "LabelNoise",
    "Law",
    "OfLaw",
    "ShippedData",
    "data_names",
    "file_of",
]


class OfLaw(Specification):
    """What the specification of every law has beside the fields and names of the law."""

    of: ClassVar[type[Law]]

    if TYPE_CHECKING:

        @property
        def name(self) -> str:
            """As of the law."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        _check(self)
        return self

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is younger than the first stored rows unless it is said, so that their keys stay."""
        return {k: v for k, v in handler(self).items() if v is not None or k not in self.of.young}

    def sample(self, seed: int) -> data.Dataset:
        """Return the data set of that seed."""
        return replace(self._draw(seed), name=self.name)

    def _draw(self, seed: int, **changes: Any) -> data.Dataset:
        return self.of(**self.model_dump(exclude={"law"}) | changes).sample(seed)


@lru_cache(maxsize=1024)  # a study has many trials of one law, and a large covariance takes long to check
def _check(law: Any) -> None:
    """Refuse what the law itself would refuse, by asking it for one sample a class."""
    _validate.size(law.n, law.dim)
    _validate.class_sizes(law.class_sizes, law.n, law.n_classes, law.imbalance)
    law._draw(0, n=law.n_classes, class_sizes=None, imbalance=None)


def _specification(law: type[Law]) -> type[OfLaw]:
    """Return the specification of a law: its fields, of which the number of samples and of features must be said."""
    hints = get_type_hints(law, include_extras=True)
    own: dict[str, Any] = {"of": (ClassVar[type[Law]], law), "law": (Literal[law.law], law.law)}
    own |= dict.fromkeys(law.of_a_call, (ClassVar[Any], None))
    for field in fields(law):
        stored = [mark.stored for mark in getattr(hints[field.name], "__metadata__", ())]
        if field.name in ("n", "dim"):
            own[field.name] = (hints[field.name], ...)
        elif stored and stored[0] is not None:
            own[field.name] = (stored[0], field.default)
    said = f"Specification of `kernel_collapse.data.{law.law.replace('-', '_')}`, without its seed."
    bases: Any = (OfLaw, law)
    return create_model(law.__name__, __base__=bases, __module__=__name__, __doc__=said, **own)


class LabelNoise(Specification):
    """Specification of `kernel_collapse.data.label_noise` on the samples of another specification, of the same seed."""

    law: Literal["label-noise"] = "label-noise"
    base: Data
    fraction: Share = 0.1

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if isinstance(self.base, LabelNoise):
            raise InputError("base", "'label-noise'", "another law", "raise the fraction instead")
        return self

    @property
    def name(self) -> str:
        """That of the other law, and the fraction."""
        return self.called(self.base.name)

    def called(self, base: str) -> str:
        """Return the name where the samples before are called that."""
        return f"{base}, {100 * self.fraction:g} % of labels flipped"

    @property
    def n(self) -> int:
        """Number of samples."""
        return self.base.n

    @property
    def dim(self) -> int:
        """Number of features."""
        return self.base.dim

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.base.n_classes

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of the samples that are images; of others empty."""
        return tuple(self.base.image_shape)

    @property
    def class_sizes(self) -> tuple[int, ...] | None:
        """Sizes of the classes before labels are flipped, where they were asked for."""
        return self.base.class_sizes

    def sample(self, seed: int) -> data.Dataset:
        """Return the data set of that seed."""
        return data.label_noise(self.base.sample(seed), self.fraction, seed=seed)


def data_names(specifications: Iterable[Any], named_by: Iterable[Any] = ()) -> Callable[[Any], str]:
    """Return what names data sets so that no two files have one name, and no file has two: see `file_names`.

    Parameters
    ----------
    specifications : iterable
        Of all data sets that are named.
    named_by : iterable, optional
        Specifications whose files have their present paths, which count.
    """
    files = [file_of(data) for data in (*specifications, *named_by)]
    called = file_names(file for file in files if file is not None)

    def name(data: Any) -> str:
        file = file_of(data)
        if file is None:
            return str(data.name)
        own = file.called(called[file.content.sha256])
        return own if file is data else str(data.called(own))

    return name


def file_of(data: Any) -> FileData | None:
    """Return the file that samples come from, if they do."""
    source = data.base if isinstance(data, LabelNoise) else data
    return source if isinstance(source, FileData) else None


def _law(value: Any) -> str:
    """Return what chooses a specification of data; whoever names no law means Gaussian classes, the first there was."""
    default = catalogue.ALL[0].law
    return str(value.get("law", default) if isinstance(value, dict) else getattr(value, "law", default))


#: The specification of each law, and those of tables.
SPECIFICATIONS: dict[str, type[Specification]] = {law.law: _specification(law) for law in catalogue.ALL}
SPECIFICATIONS |= {"shipped": ShippedData, "file": FileData, catalogue.NOISE: LabelNoise}
#: Every law that chooses a specification of data, sorted.
LAWS: tuple[str, ...] = tuple(sorted(SPECIFICATIONS))
if TYPE_CHECKING:
    from kernel_collapse.data.catalogue import *  # noqa: F403

    Data = Any

else:
    #: Each is found here under the name of its class, which is that of the law's.
    globals().update({specification.__name__: specification for specification in SPECIFICATIONS.values()})
    Data = Annotated[
        reduce(or_, (Annotated[specification, Tag(law)] for law, specification in SPECIFICATIONS.items())),
        Discriminator(_law),
    ]
    LabelNoise.model_rebuild()  # it holds another of these
