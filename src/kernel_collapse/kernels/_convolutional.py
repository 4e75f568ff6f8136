"""The two kernels of a wide convolutional network: NNGP and NTK."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

from kernel_collapse.kernels._image_network import ConvNetwork

__all__ = ["ConvNNGP", "ConvNTK"]


@final
@dataclass(frozen=True, repr=False)
class ConvNNGP(ConvNetwork):
    r"""The kernel of a wide convolutional network at initialisation: of the features that enter its readout.

    Images are x (n, height, width, channels); p, r are positions, F a filter of f of them, Q^0_{ip,jr} the inner
    product of two pixels over the number of channels. Through a convolution and an activation::

        G_{ip,jr} = sigma_b^2 + sigma_w^2/f sum_{delta in F} Q_{i p+delta, j r+delta},    Q' = kappa(G),

    an average pool takes the mean over two windows, and the kernel is the mean of Q over p = r (`Flatten`) or over all
    p and r (`GlobalAvgPool`). With `Flatten` and no pool only p = r is needed, O(positions) a pair of images; with a
    pool all pairs of positions, O(positions^2). With filters of 1 x 1, images of 1 x 1 have the kernel `NNGP` of their
    channels.

    Parameters
    ----------
    layers : int, str or sequence
        `Conv`, `Activation` and `AvgPool` in any sensible order, and `Flatten` or `GlobalAvgPool` as the last; or a
        number of 3 x 3 convolutions with padding "same", each with `activation`; or "myrtle-5", "myrtle-7" or
        "myrtle-10", networks of 4, 6 and 9 convolutions with two pools between them and global average pooling.
    activation : str, Activation or callable, optional
        Of a number of layers or a named network, as for `kernel_collapse.nngp`; "erf" by default.
    readout : {"flatten", "gap"}, optional
        The end of a number of layers: "flatten" by default, or global average pooling.
    weight_variance, bias_variance : float
        Weights are N(0, weight_variance / (positions of the filter x channels)), biases N(0, bias_variance).
    dtype : {"float64", "float32"}, optional
        Precision of arithmetic and result. By default float64 for NumPy, and that of `x` for other libraries.

    Raises
    ------
    ValueError
        If a parameter is out of its range or layers do not follow one another; when called, if `x` is not finite or not
        four-dimensional, or a filter or pool does not fit into what is left of the image.

    References
    ----------
    Novak et al. (2019), "Bayesian deep convolutional networks with many channels are Gaussian processes", arXiv
    1810.05148; Garriga-Alonso et al. (2019), arXiv 1808.05587; the named networks: Shankar et al. (2020), "Neural
    kernels without tangents", arXiv 2003.02237.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> from kernel_collapse.kernels import Activation, AvgPool, Conv, ConvNNGP, GlobalAvgPool
    >>> kernel = ConvNNGP([Conv(3), Activation("relu"), AvgPool(2), GlobalAvgPool()])
    >>> images = np.random.default_rng(0).normal(size=(5, 6, 6, 3))
    >>> kernel(images).shape, kernel(images[:2], images).shape
    ((5, 5), (2, 5))
    >>> ConvNNGP(2, activation="relu")
    ConvNNGP(2, activation='relu')
    """

    dtype: str | None = field(default=None, kw_only=True)

    def _of(self, features: Any, theta: Any) -> Any:
        return features


@final
@dataclass(frozen=True, repr=False)
class ConvNTK(ConvNetwork):
    r"""The neural tangent kernel of a whole convolutional network, a dense readout included.

    T = G after the first convolution, T kappa_c(G) through an activation, G' + sigma_w^2/f sum_delta T_{p+delta,
    r+delta} through the next convolution, with G' its own covariance; pools average it as they do Q. The readout has
    the same variances: the kernel is sigma_b^2 + sigma_w^2 (mean of Q + mean of T), over p = r or over all p and r.

    Parameters
    ----------
    layers, activation, readout, weight_variance, bias_variance, dtype
        As for `ConvNNGP`.

    Raises
    ------
    ValueError
        As for `ConvNNGP`.

    References
    ----------
    Arora et al. (2019), "On exact computation with an infinitely wide neural net", arXiv 1904.11955.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> kernel = kc.kernels.ConvNTK([kc.kernels.Conv(1), kc.kernels.Activation("relu"), kc.kernels.Flatten()])
    >>> pixels = np.random.default_rng(0).normal(size=(4, 1, 1, 8))
    >>> bool(abs(kernel(pixels) - kc.ntk(pixels[:, 0, 0], activation="relu")).max() < 1e-14)
    True
    """

    dtype: str | None = field(default=None, kw_only=True)

    _tangent = True

    def _of(self, features: Any, theta: Any) -> Any:
        return (features + theta) * self.weight_variance + self.bias_variance
