"""What kernels and activations are called where people read of them."""

__all__ = ["ACTIVATION_NAMES", "KERNEL_NAMES", "NAMES"]

KERNEL_NAMES = {
    "data": "data",
    "nngp": "NNGP",
    "ntk": "NTK",
    "ntk-published": "NTK, published code",
    "conv-nngp": "conv. NNGP",
    "conv-ntk": "conv. NTK",
    "conv-nngp-gap": "conv. NNGP, pooled",
    "conv-ntk-gap": "conv. NTK, pooled",
    "adaptive": "adaptive",
    "adaptive-published": "adaptive, published code",
    "deep-rfm": "deep RFM",
    "mean-field": "mean field",
    "posterior": "posterior",
    "network": "trained network",
    "conv-network": "trained conv. network",
    "conv-network-gap": "trained conv. network, pooled",
    "network-decayed": "trained, weight decay",
    "empirical-nngp": "NNGP of a network",
    "empirical-ntk": "NTK of a network",
}
ACTIVATION_NAMES = {"erf": "erf", "relu": "ReLU", "identity": "identity"}
NAMES = KERNEL_NAMES | ACTIVATION_NAMES
