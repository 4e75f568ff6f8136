r"""The classifier of kernel ridge regression on explicit features, from the features themselves.

The weights W minimise |X W' - T|^2 + r |W|^2, as those of `collapse` of X X' do. With the mean m of the features apart,
X = Z + 1 m' with 1'Z = 0, and A = Z'Z + r I::

    W' = A^{-1} Z'T + g A^{-1} m,   g = n (mean T - m'A^{-1} Z'T) / (1 + n m'A^{-1} m)

However far from the origin the features are, no more cancels than the ratio of |m|^2 to r, 1e6, and that along m
alone. Of alpha = (X X' + r I)^{-1} T and W = X'alpha the product X X' has rounded what r is added to.
"""

from __future__ import annotations

import numpy as np

from kernel_collapse._shapes import Float

__all__ = ["RIDGE", "ridge_of_features"]

#: The ridge where none is given, beside the mean of the squared lengths of the features.
RIDGE = 1e-6


def ridge_of_features(
    features: Float[np.ndarray, "n p"], targets: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "k p"] | None:
    """Return the weights of ridge regression without a bias; None of features that are all 0, which have none."""
    n, p = features.shape
    ridge = RIDGE * float(np.sum(features**2)) / n
    if not ridge:
        return None
    middle = features.mean(axis=0)
    about = features - middle
    moved = about.mean(axis=0)  # the mean was rounded
    about -= moved
    middle = middle + moved
    wanted = targets.mean(axis=0)
    left, sizes, axes = np.linalg.svd(about, full_matrices=False)
    lengths = sizes**2 + ridge
    fit = axes.T @ ((sizes / lengths)[:, None] * (left.T @ (targets - wanted)))
    along = axes @ middle
    of_middle = axes.T @ (along / lengths)
    if len(axes) < p:
        outside = middle - axes.T @ along
        of_middle += (outside - axes.T @ (axes @ outside)) / ridge
    share = n * (wanted - middle @ fit) / (1.0 + n * float(middle @ of_middle))
    return (fit + of_middle[:, None] * share).T
