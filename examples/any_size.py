"""Every metric from a Gram matrix, of held-out samples, and NC1 where no Gram matrix fits."""

import kernel_collapse as kc

train, test = kc.data.split(kc.data.shipped("breast-cancer"), holdout=0.2, seed=0)
x, x_test = kc.data.standardize(train).x, kc.data.standardize(test, like=train).x

gram, cross, diagonal = kc.ntk(x), kc.ntk(x_test, x), kc.ntk(x_test).diagonal()
found = kc.collapse(gram, train.labels, targets=train.targets)
held_out = kc.held_out_collapse(gram, train.labels, cross, diagonal, test.labels, targets=train.targets)
for name in ("nc1", "nc1_pinv", "cdnv", "nc3_cosine", "nc4", "ncm_accuracy", "accuracy"):
    print(f"{name:<13} {getattr(found, name):8.4f} training {getattr(held_out, name):8.4f} held out")

large = kc.data.gaussian_classes(n=200_000, dim=32, seed=0)
estimate = kc.sampled_nc1(large.x, large.labels, kernel="ntk", activation="relu", depth=3)
print(f"n = 200,000: NC1 {estimate.low:.4f} to {estimate.high:.4f} from {estimate.pairs} pairs")
exact = kc.streamed_nc1(large.x[::50], large.labels[::50], kernel="ntk", activation="relu", depth=3)
print(f"exactly, of every fiftieth sample: {exact.ratio:.4f}")
