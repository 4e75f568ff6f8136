"""Runs: what is measured of which data (`trials`), how it is carried out (`sweep`), and where it is kept (`store`)."""

from kernel_collapse import _extras

_extras.require("cli", "runs and their results")
