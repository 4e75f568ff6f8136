"""How the benchmarks time a function."""

import statistics
import time

RUNS = 5


def median_seconds(function):
    function()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
