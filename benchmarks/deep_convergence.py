"""Solve the 288 problems of the grid of several layers and print the table that stands in docs/deep-adaptive.md.

With the name of a file, each problem is added to that file as soon as it is solved, and what the file already has is
not solved again. Long descents come last.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import problems

#: What a problem is known by in the file.
COLUMNS = ["data", "d", "activation", "depth", "width", "noise"]


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


def order(key):
    """Return what puts long descents last: those of overlapping classes and of XOR in one and two dimensions."""
    law, dim, *_ = key
    return dim <= 2, law in ("overlap", "xor"), law == "overlap" and dim == 2


def main():
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    kept = pd.read_csv(file) if file is not None and file.exists() else pd.DataFrame(columns=COLUMNS)
    done = set(kept[COLUMNS].itertuples(index=False, name=None))
    rows = [kept] if len(kept) else []
    for key in sorted(problems.DEEP_GRID, key=order):
        law, dim, activation, depth, (width, noise) = key
        if (law, dim, activation, depth, width, noise) in done:
            continue
        row = pd.DataFrame([attempt(key)])
        rows.append(row)
        if file is not None:
            row.to_csv(file, mode="a", header=not file.exists(), index=False)
    table(pd.concat(rows, ignore_index=True))


if __name__ == "__main__":
    main()
