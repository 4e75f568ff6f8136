"""Specifications of tables: those that ship with scikit-learn, and files of the user's."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from kernel_collapse import _validate, data
from kernel_collapse._input_error import InputError
from kernel_collapse._specification import Specification
from kernel_collapse.data._load import a_file
from kernel_collapse.data.law import titled

__all__ = ["FileContent", "FileData", "ShippedData", "file_names"]

ENDINGS = (".csv", ".tsv", ".parquet", ".npz")


class ShippedData(Specification):
    """Specification of a `kernel_collapse.data.subset` of a `kernel_collapse.data.shipped` table, without its seed.

    Where `standardized`, every feature has mean 0 and standard deviation 1 over the samples that were drawn.
    """

    law: Literal["shipped"] = "shipped"
    name: str
    n: PositiveInt
    standardized: bool = True
    #: As of Gaussian classes whose sizes were not asked for: here they are the table's, in proportion.
    class_sizes: ClassVar[None] = None

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return _validate.choice(name, data.SHIPPED, "name")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        most = data.SHIPPED[self.name][0]
        if not self.n_classes <= self.n <= most:
            raise InputError(
                "n", f"{self.n}", f"{self.n_classes} to {most} samples", f"one a class to all of {self.name}"
            )
        return self

    @property
    def dim(self) -> int:
        """Number of features."""
        return data.SHIPPED[self.name][1]

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return data.SHIPPED[self.name][2]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of the samples that are images; of others empty."""
        return data.IMAGES.get(self.name, ())

    def sample(self, seed: int) -> data.Dataset:
        """Return the samples that this seed draws."""
        drawn = data.subset(_shipped(self.name), self.n, seed=seed)
        return data.standardize(drawn) if self.standardized else drawn


@lru_cache
def _shipped(name: str) -> data.Dataset:
    """Return the table, read once a process; a subset of it is a copy."""
    return data.shipped(name)


class FileContent(Specification):
    """What was in a file when it was read: a hash of its bytes, and its size, of images theirs as well."""

    sha256: str
    rows: PositiveInt
    features: PositiveInt
    classes: Annotated[int, Field(ge=2)]
    image_shape: tuple[PositiveInt, ...] = ()

    @model_serializer(mode="wrap")
    def _as_stored(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out that samples are no images, so that the keys of trials stay what they were before some were."""
        stored: dict[str, Any] = fields(self)
        if not self.image_shape:
            stored.pop("image_shape", None)
        return stored


class FileData(Specification):
    """Specification of a random, stratified part of a user's table (`kernel_collapse.data.load`), without its seed.

    The file is read when the specification is made, unless its `content` is given as a stored row has it; the content
    is part of a trial's key and the path is not, so that a changed file is not taken for the old one and a moved file
    is.

    Attributes
    ----------
    path : str
        A .csv, .tsv, .parquet or .npz file.
    label, features, header : optional
        As for `kernel_collapse.data.load`.
    n : int
        Number of samples that each seed draws; all of them by default, the same for every seed.
    standardized : bool
        Whether every feature has mean 0 and standard deviation 1 over the samples that were drawn.
    content : FileContent
        What the file held.
    """

    law: Literal["file"] = "file"
    path: str
    label: str | None = None
    features: str | None = None
    header: bool | None = None
    n: PositiveInt
    standardized: bool = True
    content: FileContent
    #: As of `ShippedData`: the table's, in proportion.
    class_sizes: ClassVar[None] = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, written: Any) -> Any:
        if not isinstance(written, Mapping) or written.get("content") is not None:
            return written
        path, label, features, header = (written.get(key) for key in ("path", "label", "features", "header"))
        if not isinstance(path, str | Path):
            said = "missing" if path is None else repr(path)
            raise InputError("path", said, f"the name of a {', '.join(ENDINGS)} file")
        if isinstance(label, int) and not isinstance(label, bool):  # a column of a file without header
            label = str(label)
        if not isinstance(label, str | None):
            raise InputError.of("label", label, "the name of the column of classes")
        if not isinstance(features, str | None):
            raise InputError.of("features", features, "the name of an array of an .npz file")
        if not isinstance(header, bool | None):
            raise InputError.of("header", header, "true or false")
        content = _content(Path(path), label, features, header)
        size = {"n": content.rows} if written.get("n") is None else {}
        return {**written, **size, "path": str(path), "label": label, "content": content}

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        least, most = self.content.classes, self.content.rows
        if not least <= self.n <= most:
            raise InputError(
                "n",
                f"{self.n}",
                f"{least} to {most} samples",
                f"one a class to all of {Path(self.path).name}",
            )
        return self

    @property
    def name(self) -> str:
        """The name of the file, with the options that are not the default."""
        return self.called(Path(self.path).name)

    def called(self, file: str) -> str:
        """Return the name where the file is called that: see `file_names`."""
        options = {} if self.label is None else {"label": self.label}
        if self.features is not None:
            options["features"] = self.features
        if self.header is not None:
            options["header"] = "yes" if self.header else "no"
        if not self.standardized:
            options["standardized"] = "no"
        return titled(file, options)

    @property
    def dim(self) -> int:
        """Number of features."""
        return self.content.features

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.content.classes

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of the samples that are images; of others empty."""
        return self.content.image_shape

    def sample(self, seed: int) -> data.Dataset:
        """Return the samples that this seed draws; a file that has changed since it was read is refused."""
        table = _file(self.path, self.label, self.features, self.header, self.content.sha256)
        drawn = data.subset(table, self.n, seed=seed)
        drawn = data.standardize(drawn) if self.standardized else drawn
        return replace(drawn, name=self.name)


def file_names(files: Iterable[FileData]) -> dict[str, str]:
    """Return what each file is called beside the others, by the SHA-256 of its content.

    A content has one name, that of its last path; files of one name are called by the folders in which they differ, and
    two contents of one path by their sums.

    Examples
    --------
    >>> from kernel_collapse.runs.tables import FileContent, FileData, file_names
    >>> files = [
    ...     FileData(path=path, n=9, content=FileContent(sha256=sum, rows=9, features=2, classes=2))
    ...     for path, sum in (("a/t.csv", "1" * 64), ("b/t.csv", "2" * 64), ("b/u.csv", "3" * 64))
    ... ]
    >>> list(file_names(files).values())
    ['u.csv', 'a/t.csv', 'b/t.csv']
    """
    left = {file.content.sha256: Path(file.path) for file in files}
    names: dict[str, str] = {}
    for count in range(1, 1 + max((len(path.parts) for path in left.values()), default=0)):
        said = {content: str(Path(*path.parts[-count:])) for content, path in left.items()}
        often = Counter(said.values())
        names |= {content: name for content, name in said.items() if often[name] == 1}
        left = {content: path for content, path in left.items() if content not in names}
    return names | {content: f"{path.name}, SHA-256 {content[:8]}" for content, path in left.items()}


def _content(path: Path, label: str | None, features: str | None, header: bool | None) -> FileContent:
    """Return what the file holds, read once as long as it is not written to."""
    if path.suffix.lower() == ".npy":
        raise InputError(
            f"the ending of {path.name!r}",
            "'.npy'",
            f"one of {', '.join(ENDINGS)}",
            "save features and labels as one .npz file",
        )
    about = a_file(path).stat()
    return _content_as_of(path, label, features, header, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=64)  # a grid has many specifications of one file
def _content_as_of(
    path: Path, label: str | None, features: str | None, header: bool | None, changed: int, size: int
) -> FileContent:
    table = data.load(path, label=label, features=features, header=header)
    return FileContent(
        sha256=_hash(path),
        rows=len(table.x),
        features=table.x.shape[1],
        classes=len(table.classes),
        image_shape=table.image_shape,
    )


@lru_cache(maxsize=4)
def _file(
    path: str, label: str | None, features: str | None, header: bool | None, sha256: str
) -> data.Dataset:
    """Return the table of that content, read once a process; a subset of it is a copy."""
    if not Path(path).is_file() or _hash(Path(path)) != sha256:
        raise InputError(
            f"{path!r}",
            "not the file that the trial was made for",
            "the same content",
            "run the sweep again, which reads it anew",
        )
    return data.load(path, label=label, features=features, header=header)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
