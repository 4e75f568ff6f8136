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
    "conv-nngp-myrtle-5": "NNGP of Myrtle-5",
    "conv-nngp-myrtle-7": "NNGP of Myrtle-7",
    "conv-nngp-myrtle-10": "NNGP of Myrtle-10",
    "conv-ntk-myrtle-5": "NTK of Myrtle-5",
    "conv-ntk-myrtle-7": "NTK of Myrtle-7",
    "conv-ntk-myrtle-10": "NTK of Myrtle-10",
    "adaptive": "adaptive",
    "adaptive-published": "adaptive, published code",
    "deep-rfm": "deep RFM",
    "mean-field": "mean field",
    "posterior": "posterior",
    "network": "trained network",
    "conv-network": "trained conv. network",
    "conv-network-gap": "trained conv. network, pooled",
    "conv-network-myrtle-5": "trained Myrtle-5",
    "conv-network-myrtle-7": "trained Myrtle-7",
    "conv-network-myrtle-10": "trained Myrtle-10",
    "network-decayed": "trained, weight decay",
    "empirical-nngp": "NNGP of a network",
    "empirical-ntk": "NTK of a network",
}
ACTIVATION_NAMES = {"erf": "erf", "relu": "ReLU", "identity": "identity"}
NAMES = KERNEL_NAMES | ACTIVATION_NAMES
