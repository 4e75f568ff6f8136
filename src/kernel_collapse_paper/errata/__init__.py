"""The errata of the published code as a page of Markdown, with a figure and a table in CSV beside it.

Which defects there are, and their formulas, are written by hand (`DEFECTS`); every number, and whether a claim
survives, comes from the rows of one run. The same rows give the same bytes.
"""

from kernel_collapse_paper.errata._claims import SURVIVALS, Judgement
from kernel_collapse_paper.errata._defects import DEFECTS, Defect, Part
from kernel_collapse_paper.errata._page import page, write

__all__ = ["DEFECTS", "SURVIVALS", "Defect", "Judgement", "Part", "page", "write"]
