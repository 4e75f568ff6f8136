"""What the numbers of a run may depend on beside its trials."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

__all__ = ["environment"]


def environment() -> dict[str, str]:
    """Return what the numbers may depend on: versions, processor, linear algebra library."""
    from threadpoolctl import threadpool_info

    packages = ("kernel-collapse", "numpy", "scipy", "pandas", "matplotlib")
    blas = {
        f"{info['internal_api']} {info['version']} ({info.get('architecture', 'unknown kernels')})"
        for info in threadpool_info()
        if info["user_api"] == "blas"
    }
    return {
        "Python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
        "BLAS": ", ".join(sorted(blas)) or "unknown",
        "System": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
