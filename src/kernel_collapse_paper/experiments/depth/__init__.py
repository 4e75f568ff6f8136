r"""What depth does to NC1, in the three phases of a deep network, beside what the fixed points of its maps foretell.

Limits of a balanced data set of C classes with n_c samples each, from the maps of
`kernel_collapse.correlation_map`:

- *Chaotic*, and *critical* for a smooth activation: all pairs end equally far apart, so that class means differ by the
  chance of their samples alone: NC1 = (n_c - 1) / (1 - 1/C). The diagonal of the NTK grows by chi a layer and what is
  beside it does not, with the same result. 1/NC1 of the NNGP nears it by R'(c*) a layer; at criticality distances fall
  like 1/(l + l_0) with an l_0 of each pair, so that NC1 grows linearly before it levels off.
- *Ordered*: squared distances of features near the fixed point all shrink by chi a layer, so that NC1 of the NNGP
  freezes at a value that is the data's. The next order is smaller by chi^l (by chi^(l/2) where the activation has a
  kink, as ReLU's kappa has a term (1 - c)^(3/2)), or by V'(q*)^l if that is larger: the rate at which NC1 nears its
  end. Squared distances of the NTK obey T' = chi T + a multiple of those of the NNGP, hence grow like l chi^l, and its
  NC1 nears the NNGP's like 1/l; with a kink the source is their root, which shrinks more slowly and takes over: NC1 of
  root distances.
- *ReLU without a fixed point* (weight variance 2 and no bias, or more than 2): angles vanish like 3 pi / l and relative
  lengths r_i stay. NNGP: r_i r_j, NC1 of the lengths alone. NTK: the product of slopes 1 - 3/k from layer m to l is
  (m/l)^3, whose mean over m is 1/4: r_i r_j (1 + 3 delta_ij) / 4.
"""

from __future__ import annotations

from kernel_collapse.runs.experiments import Experiment
from kernel_collapse_paper.experiments.depth._figures import figures
from kernel_collapse_paper.experiments.depth._grid import prepare, trials
from kernel_collapse_paper.experiments.depth._tables import tables
from kernel_collapse_paper.experiments.depth._verdicts import verdicts

__all__ = ["EXPERIMENT"]

EXPERIMENT = Experiment(
    name="depth",
    title="What depth does",
    question="What does depth do to NC1 in the ordered, critical and chaotic phase, and do fixed points foretell it?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
    prepare=prepare,
)
