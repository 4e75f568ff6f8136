"""Solve the 400 problems of the convergence grid and print the table that stands in docs/adaptive.md."""

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import problems


def attempt(key):
    with threadpool_limits(1):
        start = time.perf_counter()
        s = problems.solve(*key)
        seconds = time.perf_counter() - start
    law, n, dim, imbalance, (width, noise) = key
    return {
        "data": law,
        "n": n,
        "d": dim,
        "imbalance": imbalance,
        "width": width,
        "noise": noise,
        "status": s.status.value,
        "residual": s.residual,
        "round_off": s.round_off,
        "evaluations": s.evaluations,
        "gain": s.prior_free_energy - s.free_energy,
        "largest eigenvalue": s.eigenvalues[-1],
        "seconds": seconds,
    }


def main():
    with ProcessPoolExecutor(2) as pool:
        rows = pd.DataFrame(pool.map(attempt, problems.GRID, chunksize=4))
    if len(sys.argv) > 1:
        rows.to_csv(sys.argv[1], index=False)
    print(
        f"| {'data':<7} | problems | converged | precision limit | median | 95 % | most | largest eigenvalue |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for law, part in [*rows.groupby("data", sort=False), ("all", rows)]:
        counts = part["status"].value_counts()
        e = part["evaluations"]
        print(
            f"| {law:<7} | {len(part)} | {counts.get('converged', 0)} | {counts.get('precision_limit', 0)} | "
            f"{e.median():g} | {np.percentile(e, 95):.0f} | {e.max()} | {part['largest eigenvalue'].max():.3g} |"
        )
    print(f"gain never below {rows['gain'].min():.3g}; {rows['seconds'].sum():.0f} s on one core")
    print(rows[rows["status"] != "converged"].to_string())


if __name__ == "__main__":
    main()
