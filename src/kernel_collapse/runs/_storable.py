"""What can be stored of a trial: numbers, words, and lists of them under names; made plain where the trial ran."""

from __future__ import annotations

from typing import Any

__all__ = ["one_line", "readable", "said", "storable"]


def storable(results: Any) -> dict[str, Any]:
    """Return results as JSON holds them: numbers and arrays of NumPy, JAX and their kin as Python's own.

    Raises
    ------
    TypeError
        If a name is no text, or a value is none of a number, a text, None, or lists and mappings of them.

    Examples
    --------
    >>> import numpy as np
    >>> storable({"minima": np.int64(3), "path": np.array([1.0, 0.5])})
    {'minima': 3, 'path': [1.0, 0.5]}
    """
    if not isinstance(results, dict):
        raise TypeError(f"the results are a {type(results).__name__}, expected a dict of names and numbers.")
    return {_name(key, "the results"): _plain(value, repr(key)) for key, value in results.items()}


def readable(text: str) -> str:
    r"""Return a text that can be written anywhere: half a character (a lone surrogate) becomes its escape, \\ud800."""
    return text.encode("utf-8", "backslashreplace").decode()


def one_line(text: str, most: int = 300) -> str:
    """Return a text of unknown origin as part of a sentence: what cannot be printed as its escape, and not too long."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:most])
    return shown + ("..." if len(text) > most else "")


def said(error: BaseException) -> str:
    """Return type and message of an error, whatever its `__str__` does."""
    try:
        message = readable(str(error))
    except Exception as broken:  # the message is the user's code too
        message = f"its message cannot be read ({type(broken).__name__})"
    return f"{type(error).__name__}: {message}"


def _plain(value: Any, where: str) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str):
        return readable(value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        if value.bit_length() > 1024:
            raise TypeError(f"{where} is an integer of {value.bit_length()} bits, expected 1024 or fewer.")
        return value
    if isinstance(value, list | tuple):
        return [_plain(part, where) for part in value]
    if isinstance(value, dict):
        return {_name(key, where): _plain(part, where) for key, part in value.items()}
    raise TypeError(
        f"{where} is a {type(value).__name__}, expected a number, a text, None, or lists of them: convert it."
    )


def _name(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{where} have the name {key!r}, expected a text: convert it.")
    return readable(key)
