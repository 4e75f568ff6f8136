"""The findings that the page of a run opens with: a sentence and a figure each, as far as the rows bear it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kernel_collapse.report.parts import Finding, Verdict
from kernel_collapse.report.style import ACTIVATION_NAMES
from kernel_collapse_paper.experiments import topics

__all__ = ["Conclude", "Words", "exceptions", "of_claims"]

Conclude = Callable[[list[Verdict]], Finding | None]


class Words(NamedTuple):
    """How the verdict on a claim is told: where it holds in every cell, in none, and in some; by default as it is.

    "{share}" in `part` stands for "in most", "in some" or "rarely".
    """

    claim: str  # how it begins
    holds: str = ""
    fails: str = ""
    part: str = ""


def of_claims(figure: str, *words: Words) -> Conclude:
    """Return what gives the finding of some verdicts.

    Each sentence comes with the number of cells, so that none says more than the rows do; what is undecided in every
    cell is not told.
    """

    def conclude(verdicts: list[Verdict]) -> Finding | None:
        sentences = [
            _sentence(verdict, of)
            for of in words
            for verdict in verdicts
            if verdict.claim.startswith(of.claim) and verdict.status != "undecided"
        ]
        return Finding(" ".join(sentences), figure) if sentences else None

    return conclude


def _sentence(verdict: Verdict, words: Words) -> str:
    told = {"holds": words.holds, "does not hold": words.fails, "holds in part": words.part}[verdict.status]
    tally = verdict.tally
    if tally is None:  # the claim is about one number, which the answer has
        return f"{told or verdict.claim.rstrip('.')}. {verdict.answer}"
    if told:
        told = told.replace("{share}", tally.share)
        return f"{told} ({tally.holds} of {tally.total} cells)."
    return f"“{verdict.claim.rstrip('.')}”: {verdict.short} cells."


def exceptions(figure: str, words: str, otherwise: str) -> Conclude:
    """Return what gives the finding that the order of NTK and NNGP is reversed somewhere, and where.

    `words` begin the sentence, before the laws that have most of the reversed cells; `otherwise` is told where the
    order holds.
    """

    def conclude(verdicts: list[Verdict]) -> Finding | None:
        judged = [v for v in verdicts if topics.KERNELS in v.topics and v.tally is not None]
        if not judged:
            return None
        evidence = judged[0].evidence
        reverses = evidence[evidence["verdict"] == "fails"]
        if reverses.empty:
            held = int((evidence["verdict"] == "holds").sum())
            return Finding(f"{otherwise} ({held} of {len(evidence)} cells).", figure)
        counts = reverses["data"].value_counts()
        where = _listed([f"{law} ({count} cell{'s' if count > 1 else ''})" for law, count in counts.items()])
        known = sorted(reverses["activation"].unique())
        of = (
            f"{len(known)} activations"
            if len(known) > 3
            else " or ".join(ACTIVATION_NAMES.get(n, n) for n in known)
        )
        return Finding(f"{words} {where}: {len(reverses)} of {len(evidence)} cells, all of {of}.", figure)

    return conclude


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
