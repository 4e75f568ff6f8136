"""The findings that the page of a run opens with: a sentence and a figure each, as far as the rows bear it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kernel_collapse.report.parts import Finding, Verdict
from kernel_collapse_paper.experiments import topics

__all__ = ["Conclude", "Words", "exceptions", "of_claims"]

Conclude = Callable[[list[Verdict]], Finding | None]


class Words(NamedTuple):
    """How the verdict on a claim is told: where it holds in every cell, and where it holds in none."""

    claim: str  # how it begins
    holds: str
    fails: str


def of_claims(figure: str, *words: Words) -> Conclude:
    """Return what gives the finding of some verdicts.

    A claim that holds in some cells alone is told as it is. Each sentence comes with the number of cells, so that none
    says more than the rows do.
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
    told = {"holds": words.holds, "does not hold": words.fails}.get(verdict.status)
    tally = verdict.tally
    if tally is None:  # the claim is about one number, which the answer has
        return f"{told or verdict.claim.rstrip('.')}. {verdict.answer}"
    if told:
        return f"{told} ({tally.holds} of {tally.total} cells)."
    return f"“{verdict.claim.rstrip('.')}”: {verdict.short} cells."


def exceptions(figure: str, words: str, otherwise: str) -> Conclude:
    """Return what gives the finding that the order of NTK and NNGP is reversed somewhere, and where.

    `words` begin the sentence, before the laws that have most of the reversed cells; `otherwise` is told where the
    order holds.
    """

    def conclude(verdicts: list[Verdict]) -> Finding | None:
        (verdict,) = (verdict for verdict in verdicts if topics.KERNELS in verdict.topics)
        tally = verdict.tally
        if tally is None:
            return None
        reverses = verdict.evidence[verdict.evidence["verdict"] == "fails"]
        if reverses.empty:
            return Finding(f"{otherwise} ({tally.holds} of {tally.total} cells).", figure)
        counts = reverses["data"].value_counts()
        where = _listed([f"{law} ({count})" for law, count in counts.items()])
        return Finding(f"{words} {where}, {tally.fails} of {tally.total} cells.", figure)

    return conclude


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
