"""What a claim is about: the topics by which the page of open questions finds the claims that bear on a question."""

from __future__ import annotations

__all__ = ["ACTIVATION", "KERNELS", "LAYERS", "LIMIT"]

#: NTK against NNGP.
KERNELS = "kernels"
#: One activation against another.
ACTIVATION = "activation"
#: One layer, or depth, against another.
LAYERS = "layers"
#: How low NC1 goes.
LIMIT = "limit"
