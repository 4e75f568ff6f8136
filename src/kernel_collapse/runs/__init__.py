"""Runs: which data are measured and how (`trials`), how trials run (`sweep`), and where rows are kept (`store`)."""

from kernel_collapse import _extras

_extras.require("cli", "runs and their results")
