"""Whether convolutional kernels collapse images that dense ones do not: the digits that ship with scikit-learn."""

import kernel_collapse as kc
from kernel_collapse.kernels import Activation, AvgPool, Conv, ConvNNGP, ConvNTK, GlobalAvgPool

digits = kc.data.shipped("digits")
train, test = kc.data.split(kc.data.subset(digits, 120, seed=0), holdout=0.25, seed=0)

pooled = [Conv(3), Activation("relu"), AvgPool(2), Conv(3), Activation("relu"), GlobalAvgPool()]
kernels = {
    "dense NNGP": kc.kernels.NNGP("relu", depth=3),
    "dense NTK": kc.kernels.NTK("relu", depth=3),
    "convolutional NNGP, flattened": ConvNNGP(3, activation="relu"),
    "convolutional NTK, flattened": ConvNTK(3, activation="relu"),
    "convolutional NNGP, pooled": ConvNNGP(pooled),
    "convolutional NTK, pooled": ConvNTK(pooled),
}
print(f"{'NC1 of digits':<30} {'training':>8} {'held out':>8} {'accuracy':>8}")
for name, kernel in kernels.items():
    dense = name.startswith("dense")
    x, x_test = (part.x if dense else part.images for part in (train, test))
    gram = kernel(x)
    found = kc.collapse(gram, train.labels, targets=train.targets)
    held_out = kc.held_out_collapse(
        gram, train.labels, kernel(x_test, x), kernel.diagonal(x_test), test.labels, targets=train.targets
    )
    print(f"{name:<30} {found.nc1:>8.3f} {held_out.nc1:>8.3f} {held_out.accuracy:>8.1%}")

print("deep RFM on the convolutional NNGP, pooled: NC1 of training and held-out digits by layer")
x, x_test, kernel = train.images, test.images, ConvNNGP(pooled)
machine = kc.deep_rfm(kernel(x), train.targets, inputs="gram", depth=3, labels=train.labels, ridge=1e-4)
seen = machine.held_out(kernel(x_test, x), test.labels, diagonal=kernel.diagonal(x_test))
for layer, other in zip(machine.layers, seen.layers, strict=True):
    print(f"{layer.nc1:>39.4f} {other.nc1:>8.4f} {other.accuracy:>8.1%}")

whole = kc.data.subset(digits, 400, seed=1)
exact = kc.streamed_nc1(whole.images, whole.labels, kernel=ConvNNGP(3, activation="relu"))
estimate = kc.sampled_nc1(
    whole.images, whole.labels, kernel=ConvNNGP(3, activation="relu"), relative_error=0.05
)
print(
    f"400 digits, all pairs: {exact.ratio:.4f}; {estimate.pairs} pairs: {estimate.low:.4f} to {estimate.high:.4f}"
)
