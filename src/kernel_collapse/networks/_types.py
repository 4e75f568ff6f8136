"""What trained and sampled networks have in common."""

from __future__ import annotations

__all__ = ["NetworkError"]


class NetworkError(RuntimeError):
    """A network that was not trained, or a posterior that was not sampled, to what was asked."""
