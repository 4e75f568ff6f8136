"""Solve the 288 problems of the grid of several layers and print the table that stands in docs/deep-adaptive.md.

With two numbers, a part and the number of parts, it solves that part alone and adds its rows to the file named third.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import problems


def attempt(key):
    start = time.perf_counter()
    with threadpool_limits(1):
        s = problems.solve_deep(*key, max_evaluations=1000)
    law, dim, activation, depth, (width, noise) = key
    return {
        "data": law,
        "d": dim,
        "activation": activation,
        "depth": depth,
        "width": width,
        "noise": noise,
        "status": s.status.value,
        "residual": s.residual,
        "round_off": s.round_off,
        "evaluations": s.evaluations,
        "seconds": time.perf_counter() - start,
    }


def table(rows):
    print("| data | problems | converged | precision limit | neither | median | 95 % | most |")
    print("|---|---|---|---|---|---|---|---|")
    for law, part in [*rows.groupby("data", sort=False), ("all", rows)]:
        counts = part["status"].value_counts()
        converged, limit = counts.get("converged", 0), counts.get("precision_limit", 0)
        e = part["evaluations"]
        print(
            f"| {law} | {len(part)} | {converged} | {limit} | {len(part) - converged - limit} | {e.median():g} | "
            f"{np.percentile(e, 95):.0f} | {e.max()} |"
        )
    print(rows[rows["status"] != "converged"].to_string())


def main():
    part, parts = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else (0, 1)
    rows = pd.DataFrame([attempt(key) for key in problems.DEEP_GRID[part::parts]])
    if len(sys.argv) > 3:
        path = Path(sys.argv[3])
        rows = pd.concat([pd.read_csv(path), rows]) if path.exists() else rows
        rows.to_csv(path, index=False)
    table(rows)


if __name__ == "__main__":
    main()
