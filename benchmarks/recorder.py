"""Time that recording three layers of a convolutional network adds to the forward passes that it needs.

Both are measured in the same process, in turns: two passes over the same batches, bare and recorded. The ratio is the
median over runs, for the machine may be noisy; on a machine that others use at the same time it says little.
"""

import statistics
import time

import torch
from torch import nn

import kernel_collapse as kc

N, BATCH, RUNS = 1024, 128, 5


def main():
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(128, 10)),
    ).eval()
    labels = torch.arange(N) % 10
    images = torch.randn(N, 3, 32, 32)
    loader = [(images[top : top + BATCH], labels[top : top + BATCH]) for top in range(0, N, BATCH)]

    def bare():
        with torch.no_grad():
            for _ in range(2):
                for batch, _ in loader:
                    model(batch)

    def recorded():
        kc.torch.record(model, loader, ["5", "9", "before the last linear layer"], reduce="pool")

    seconds = {bare: [], recorded: []}
    for function in seconds:
        function()
    for _ in range(RUNS):
        for function, times in seconds.items():
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    ratios = [b / a for a, b in zip(seconds[bare], seconds[recorded], strict=True)]
    print(f"two bare passes {statistics.median(seconds[bare]):.3f} s")
    print(
        f"recorded {statistics.median(seconds[recorded]):.3f} s, {statistics.median(ratios):.2f} of the bare passes "
        f"({min(ratios):.2f} to {max(ratios):.2f} in {RUNS} runs)"
    )


if __name__ == "__main__":
    main()
