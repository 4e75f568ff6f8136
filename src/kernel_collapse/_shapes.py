"""Shapes in signatures: those of jaxtyping where somebody checks them, and the array alone where nobody does.

jaxtyping takes a fifth of the time of ``import kernel_collapse``. Who checks types has imported it before, as the
tests do; for anybody else ``Float[np.ndarray, "n d"]`` is ``np.ndarray``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

__all__ = ["Bool", "Float", "Int", "Num", "Shaped", "UInt64"]

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int, Num, Shaped, UInt64
else:

    class Shaped:
        """An array of some shape."""

        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            """Return the type of the array."""
            return item[0]

    class Num(Shaped):
        """An array of numbers."""

    class Bool(Shaped):
        """An array of truth values."""

    class Float(Num):
        """An array of floating-point numbers."""

    class Int(Num):
        """An array of whole numbers."""

    class UInt64(Int):
        """An array of whole numbers of 64 bits, none of them negative."""
