"""Packages that only parts of the library need: each belongs to an extra; one that lacks is named."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["PACKAGES", "MissingExtra", "require"]

#: What each extra of pyproject.toml installs, by the name that is imported and the one that pip knows.
PACKAGES = {
    "networks": {"jax": "jax", "optax": "optax", "blackjax": "blackjax"},
    "tables": {"pandas": "pandas", "pyarrow": "pyarrow", "sklearn": "scikit-learn"},
    "torch": {"torch": "torch"},
    "cli": {
        "typer": "typer",
        "rich": "rich",
        "pydantic": "pydantic",
        "pandas": "pandas",
        "matplotlib": "matplotlib",
        "plotly": "plotly",
        "jinja2": "jinja2",
        "markupsafe": "markupsafe",
        "PIL": "pillow",
    },
    "cluster": {
        "dask": "dask",
        "distributed": "distributed",
        "cloudpickle": "cloudpickle",
        "cryptography": "cryptography",
    },
}


class MissingExtra(ImportError, ValueError):
    """A package is not installed; the message says how to install it."""


def require(extra: str, what: str, *names: str) -> None:
    """Refuse to go on without packages of an extra.

    Parameters
    ----------
    extra : str
        Of `PACKAGES`.
    what : str
        What needs it.
    *names : str
        Those of its packages that are needed, as they are imported; without any, all of them.

    Raises
    ------
    MissingExtra
        If one of them is not installed.

    Examples
    --------
    >>> require("tables", "a Parquet file", "pyarrow")
    """
    for name in names or PACKAGES[extra]:
        if find_spec(name) is None:
            lacks = f"{PACKAGES[extra][name]} is not installed, expected for {what}"
            raise MissingExtra(f"{lacks}: pip install 'kernel-collapse[{extra}]'.", name=name)
