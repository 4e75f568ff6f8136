"""What the numbers of a run may depend on beside its trials."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import numpy as np

__all__ = ["environment"]


def environment() -> dict[str, str]:
    """Return what the numbers may depend on: versions, processor, linear algebra library.

    Processors of one name may have different vector instructions, for which NumPy has different loops.
    """
    from threadpoolctl import threadpool_info

    packages = ("kernel-collapse", "numpy", "scipy", "pandas", "matplotlib", "jaxlib")
    blas = {
        f"{info['internal_api']} {info['version']} ({info.get('architecture', 'unknown kernels')})"
        for info in threadpool_info()
        if info["user_api"] == "blas"
    }
    return {
        "Python": platform.python_version(),
        **{name: version for name in packages if (version := _version(name))},
        "BLAS": ", ".join(sorted(blas)) or "unknown",
        "System": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "Vector instructions": _vector_instructions(),
    }


def _version(package: str) -> str:
    """Return the version of a package, or nothing if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _vector_instructions() -> str:
    """Return the sets of instructions beyond those of every processor, for which NumPy has loops here."""
    return " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])) or "none"


def _processor() -> str:
    """Return the name of the processor, with the numbers that tell generations of one name apart."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = said.get("model name", "unknown")
    if "cpu family" in said and "model" in said:
        name += f" (family {said['cpu family']}, model {said['model']})"
    return name
