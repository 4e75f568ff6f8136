"""Time and memory of the deep adaptive kernel over the number of samples and of layers.

D1 in d = min(n, 128) dimensions, erf, width 100, noise variance 1e-2, one thread; processor time, the median of three
solves up to n = 256. The bound is as many times (potrf + potri and, for each deeper layer, two eigendecompositions and
12 products) as there were evaluations, in the same run. `--figure FILE` draws the times.
"""

import sys
import time
import tracemalloc

import numpy as np
from adaptive import least_work_of_layers
from threadpoolctl import threadpool_limits

import kernel_collapse as kc

OVER_N = [(n, depth) for depth in (2, 3) for n in (64, 128, 256, 512)] + [(1024, 3)]
OVER_DEPTH = [(256, depth) for depth in (1, 2, 3, 4, 6)]


def seconds(function):
    start = time.process_time()
    found = function()
    return time.process_time() - start, found


def peak_of(function):
    """Peak memory in bytes; to trace it takes time, which of small problems is more than the solve."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def attempt(n, depth):
    data = kc.data.gaussian_classes(n, min(n, 128))
    options = {"depth": depth, "width": 100, "noise_variance": 1e-2}

    def solve():
        return kc.solve_adaptive(data.x, data.targets, **options)

    work = least_work_of_layers(data.x, depth)
    peak = peak_of(solve) / (8 * n * n)
    times, bounds = [], []
    for _ in range(3 if n <= 256 else 1):
        taken, solution = seconds(solve)
        times.append(taken)
        bounds.append(seconds(lambda count=solution.evaluations: [work() for _ in range(count)])[0])
    row = (n, depth, solution.evaluations, float(np.median(times)), float(np.median(bounds)), peak)
    print(
        f"{n:>5} {depth:>6} {row[2]:>11} {row[3]:>8.2f}s {row[4]:>8.2f}s {row[3] / row[4]:>6.2f} {peak:>8.0f} "
        f"{8e-6 * n * n * peak:>7.0f} MB",
        flush=True,
    )
    return row


def draw(over_n, over_depth, path):
    from matplotlib.figure import Figure

    from kernel_collapse.report.style import style

    with style():
        figure = Figure(figsize=(8.4, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        over_n, over_depth = np.array(over_n), np.array(over_depth)
        of_samples = [(depth, over_n[over_n[:, 1] == depth]) for depth in (2, 3)]
        for axes, parts, column in (
            (left, [(f"L = {depth}", rows) for depth, rows in of_samples], 0),
            (right, [("n = 256", over_depth)], 1),
        ):
            for name, rows in parts:
                (line,) = axes.loglog(rows[:, column], rows[:, 3] / rows[:, 2], marker="o", label=name)
                axes.loglog(
                    rows[:, column],
                    rows[:, 4] / rows[:, 2],
                    ":",
                    color=line.get_color(),
                    label=f"bound, {name}",
                )
            ticks = np.unique(np.concatenate([rows[:, column] for _, rows in parts]))
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
            axes.legend()
        left.set_xlabel("samples n")
        right.set_xlabel("hidden layers L")
        left.set_ylabel("seconds of an evaluation (1 core)")
        figure.savefig(path, dpi=110, bbox_inches="tight")


def main():
    with threadpool_limits(1):
        print(
            f"{'n':>5} {'depth':>6} {'evaluations':>11} {'solve':>9} {'bound':>9} {'ratio':>6} "
            f"{'n x n':>8} {'peak':>10}"
        )
        over_n = [attempt(n, depth) for n, depth in OVER_N]
        over_depth = [attempt(n, depth) for n, depth in OVER_DEPTH]
        for depth in (2, 3):
            rows = np.array([row for row in over_n if row[1] == depth and row[0] >= 256])
            slope = np.polyfit(np.log(rows[:, 0]), np.log(rows[:, 3] / rows[:, 2]), 1)[0]
            print(f"an evaluation of {depth} layers grows as n^{slope:.2f} from n = 256 on")
    if sys.argv[1:2] == ["--figure"]:
        draw(over_n, over_depth, sys.argv[2])


if __name__ == "__main__":
    main()
