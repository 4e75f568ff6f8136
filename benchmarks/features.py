"""Time of the metrics of explicit features, whole and in batches, beside the arithmetic that they cannot do without.

50,000 samples of 512 features in 1,000 classes. The bare pass is a segment sum for the class means and one product for
the scatter, in the same process. Each ratio is the median over runs in turns, for the machine may be noisy.
"""

import statistics
import time

import numpy as np
from scipy.sparse import csr_array

import kernel_collapse as kc

N, DIM, CLASSES, BATCH, RUNS = 50_000, 512, 1000, 256, 5


def main():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(N) % CLASSES)
    features = rng.normal(size=(CLASSES, DIM))[labels] + rng.normal(size=(N, DIM))

    def bare():
        sums = csr_array((np.ones(N), (labels, np.arange(N))), shape=(CLASSES, N)) @ features
        away = features - (sums / np.bincount(labels)[:, None])[labels]
        return away.T @ away

    def in_batches():
        seen = kc.Accumulator(CLASSES, DIM)
        for top in range(0, N, BATCH):
            seen.update(features[top : top + BATCH], labels[top : top + BATCH])
        return seen.collapse()

    calls = {
        "bare pass": bare,
        "nc1_from_features": lambda: kc.nc1_from_features(features, labels),
        "collapse_from_features": lambda: kc.collapse_from_features(features, labels),
        f"Accumulator, batches of {BATCH}": in_batches,
    }
    seconds = {name: [] for name in calls}
    for _ in range(RUNS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    for name, mine in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(mine, seconds["bare pass"], strict=True))
        print(f"{name:<30} {statistics.median(mine):>7.3f} s, {ratio:.2f} of the bare pass")


if __name__ == "__main__":
    main()
