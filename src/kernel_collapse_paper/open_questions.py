"""What a run says of the questions that the paper leaves open, as a page of Markdown.

Questions, and what would change an answer, are written here; answers and evidence are put together from the verdicts of
the run's experiments. An experiment that is not in the run, or not in this version, is named and left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kernel_collapse import _validate
from kernel_collapse._files import atomic_write
from kernel_collapse._input_error import InputError
from kernel_collapse._text import for_markdown
from kernel_collapse.report import Built, Section
from kernel_collapse.report.parts import Verdict
from kernel_collapse_paper.experiments import REGISTRY, topics
from kernel_collapse_paper.experiments.conclusions import Conclude, Words, exceptions, of_claims

__all__ = ["QUESTIONS", "Question", "Source", "escape", "page", "write"]

#: Text of Markdown, by the name that this page gives to it.
escape = for_markdown

#: In the order in which statuses are told.
STATUSES = ("holds", "holds in part", "does not hold", "undecided")


@dataclass(frozen=True)
class Source:
    """An experiment that bears on a question: with those of its claims that are about `topic`, or all."""

    experiment: str
    topic: str = ""

    def of(self, section: Section) -> list[Verdict]:
        """Return the verdicts that bear on the question."""
        return [verdict for verdict in section.verdicts if not self.topic or self.topic in verdict.topics]


@dataclass(frozen=True)
class Question:
    """A question, where its answer comes from, what is known besides, and what would change the answer.

    `answer` gives the sentences that answer it: experiments by name, with what makes a sentence of their verdicts.
    """

    title: str
    question: str
    sources: tuple[Source, ...]
    change: str
    note: str = ""
    answer: tuple[tuple[str, Conclude], ...] = ()


QUESTIONS = (
    Question(
        "NTK against NNGP beyond Gaussian data",
        "Is there a law of the data under which the NTK is more collapsed than the NNGP?",
        (
            Source("beyond-gaussian"),
            Source("activations", topics.KERNELS),
            Source("limiting-kernels-balanced", topics.KERNELS),
            Source("limiting-kernels-imbalanced", topics.KERNELS),
            Source("real-data", topics.KERNELS),
            Source("images", topics.KERNELS),
            Source("theory-vs-samples"),
        ),
        "One law, with one cell whose simultaneous interval of log10 NC1(NTK) − log10 NC1(NNGP) is below zero, where "
        "the claim now holds; or a proof that there is none. Laws of two classes weigh most: every finding on a grid "
        "is one about that grid.",
        answer=(
            (
                "beyond-gaussian",
                exceptions(
                    "",
                    "Yes. The NTK is more collapsed than the NNGP on",
                    "None was found: the NTK is nowhere more collapsed than the NNGP",
                ),
            ),
            (
                "activations",
                exceptions(
                    "",
                    "With other activations as well it is more collapsed on",
                    "With no other activation it is",
                ),
            ),
        ),
    ),
    Question(
        "The adaptive kernel of deeper networks",
        "Do the equations of state describe the collapse, layer by layer, of networks with more than one hidden layer?",
        (
            Source("deep-kernels"),
            Source("deep-widths"),
            Source("deep-data"),
            Source("feature-learning-kernels"),
            Source("depth"),
            Source("real-data", topics.LAYERS),
            Source("training-path", topics.LAYERS),
        ),
        "A network, deeper, wider or on other data than these, whose posterior the mean field of its layers does not "
        "follow as the width grows; or a first correction in 1 / width, which would say how far it is off where the "
        "width is finite.",
        answer=(
            (
                "deep-kernels",
                of_claims(
                    "",
                    Words(
                        "The mean field gives",
                        "Yes, without the Gaussian approximation: the mean field gives the NC1 of every layer of the "
                        "posterior to 5 %",
                        "The mean field does not give the NC1 of the layers of the posterior to 5 %",
                        "In part. The mean field, which has no Gaussian approximation, gives the NC1 of a layer of "
                        "the posterior to 5 % {share}",
                    ),
                    Words(
                        "The Gaussian equations of state give",
                        "The Gaussian equations of state do so too",
                        "The Gaussian equations of state do not",
                        "The Gaussian equations of state do so {share}",
                    ),
                ),
            ),
        ),
    ),
    Question(
        "Activation and data together",
        "How does the choice of the activation act together with the law of the data?",
        (
            Source("activations"),
            Source("limiting-kernels-balanced", topics.ACTIVATION),
            Source("limiting-kernels-imbalanced", topics.ACTIVATION),
            Source("real-data", topics.ACTIVATION),
            Source("beyond-gaussian", topics.ACTIVATION),
        ),
        "An order of the activations that is the same on every law, in every dimension and at every imbalance; or a "
        "property of an activation (of its Hermite coefficients, say) that foretells the order on a law not tried yet.",
        answer=(
            (
                "beyond-gaussian",
                of_claims(
                    "",
                    Words(
                        "erf collapses more",
                        "On every law that was tried erf collapses more than ReLU",
                        "On no law that was tried erf is shown to collapse more than ReLU",
                        "The law of the data decides which activation collapses more. It is erf rather than ReLU "
                        "{share}",
                    ),
                    Words(
                        "Where class means coincide",
                        "Where class means coincide ReLU collapses more",
                        "Where class means coincide ReLU does not collapse more",
                        "Where class means coincide it is ReLU {share}",
                    ),
                ),
            ),
        ),
    ),
    Question(
        "A limit to how low NC1 goes",
        "Is there a limit to how far feature learning lowers NC1, or does it go to zero on some data?",
        (
            Source("collapse-limits"),
            Source("adaptive-path"),
            Source("adaptive-width"),
            Source("all-kernels", topics.LIMIT),
            Source("training-path", topics.LIMIT),
        ),
        "A curve that falls on where these have a floor, or levels off further out than these go; a bound that is "
        "proved; posteriors of networks as narrow as the equations of state are taken to here.",
        "Both kernels of `collapse-limits` are those of the limit of large width, taken down to where no network is (a "
        "width of 0.1): what falls there without a floor is the theory, in which 1 / width is how strong the data are. "
        "The exponents that are fitted at the end are those of a crossover. Narrower still they near 1/3 (equations of "
        "state) and 2 (mean field), as docs/theory.md derives for classes that a line through the origin separates. It "
        "also proves bounds on NC1 of trained networks, and measures them: they hold where the last hidden layer is "
        "linear.",
        answer=(
            (
                "collapse-limits",
                of_claims(
                    "",
                    Words(
                        "NC1 falls without a floor as the width falls, where the classes are apart",
                        "No limit was found where the classes are apart: NC1 of both adaptive kernels falls without a "
                        "floor as the width falls",
                        "Where the classes are apart, NC1 does not fall without a floor as the width falls",
                        "Where the classes are apart, NC1 of one of the two falls without a floor as the width falls",
                    ),
                    Words(
                        "NC1 falls without a floor as the width falls, where the classes overlap (",
                        "It does so as well where they overlap, with fewer dimensions than samples",
                        "Where they overlap, with fewer dimensions than samples, there is a floor",
                        "Where they overlap, with fewer dimensions than samples, it does so for one kernel of two",
                    ),
                    Words(
                        "NC1 comes down",
                        "The lowest NC1 is close to zero",
                        "The lowest NC1 is not close to zero",
                    ),
                ),
            ),
        ),
    ),
)


def write(path: Path, built: Built) -> Path:
    """Write the page of a run that was reported, and return where.

    Raises
    ------
    ValueError
        If there can be no page at that path.
    """
    if not built.experiments:
        raise InputError(
            "the run",
            "a sweep of your own, which judges no claim",
            "one of experiments",
            "see `kernel-collapse reproduce --list`",
        )
    _validate.page(path, "--open-questions", ".md")
    text = page(built)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{str(path)!r}",
            f"be written ({error.strerror})",
            "a folder that can",
            "choose another",
            verb="cannot",
        ) from None
    return path


def page(built: Built, questions: Iterable[Question] = QUESTIONS) -> str:
    """Return the page in Markdown."""
    sections = {section.name: section for section in built.sections}
    preset = built.facts["Preset"]
    every = set(built.experiments) >= set(REGISTRY)
    run = f"kernel-collapse reproduce {'all' if every else ' '.join(built.experiments)} --preset {preset}"
    parts = [
        "# The paper's open questions",
        f"Put together from the verdicts of one run (preset {preset}; {built.facts['Trials']}). Nothing but the "
        "questions, the notes and what would change an answer is written by hand. The page is made again by",
        f"```\n{run} --out runs/{preset}\n"
        f"kernel-collapse report runs/{preset} --open-questions docs/open-questions.md\n```",
        *(_answer(number, question, sections) for number, question in enumerate(questions, 1)),
    ]
    return "\n\n".join(parts) + "\n"


def _answer(number: int, question: Question, sections: dict[str, Section]) -> str:
    found = [
        (section, verdict)
        for source in question.sources
        if (section := sections.get(source.experiment)) is not None
        for verdict in source.of(section)
    ]
    missing = [
        source.experiment
        for source in question.sources
        if source.experiment not in sections or not sections[source.experiment].verdicts
    ]
    parts = [f"## {number}. {question.title}", f"**Question.** {question.question}"]
    if question.note:
        parts.append(f"**Note.** {question.note}")
    parts.append(f"**Answer.** {_sentences(question, sections)}{_summary(found)}")
    if found:
        parts.append(_evidence(found))
    if missing:
        parts.append(_what_is_missing(missing))
    parts.append(f"**What would change it.** {question.change}")
    return "\n\n".join(parts)


def _sentences(question: Question, sections: dict[str, Section]) -> str:
    """Return the sentences that answer a question, as far as the run has what they need."""
    told = [
        finding.sentence
        for name, conclude in question.answer
        if name in sections and (finding := conclude(sections[name].verdicts)) is not None
    ]
    return escape(" ".join(told)) + "\n\n" if told else ""


def _summary(found: list[tuple[Section, Verdict]]) -> str:
    """Return how each claim fares in each experiment, a line a claim."""
    if not found:
        return "None yet: no experiment of this run bears on it."
    claims: dict[str, dict[str, list[str]]] = {}
    for section, verdict in found:
        claims.setdefault(verdict.claim, {}).setdefault(verdict.status, []).append(section.name)
    counts = [f"{status} {n}" for status in STATUSES if (n := sum(v.status == status for _, v in found))]
    lines = []
    for claim, statuses in claims.items():
        told = [
            f"**{status}** in {', '.join(f'`{name}`' for name in statuses[status])}"
            for status in STATUSES
            if status in statuses
        ]
        lines.append(f"- {escape(claim.rstrip('.'))}: {'; '.join(told)}")
    return f"{len(found)} verdicts: {', '.join(counts)}.\n\n" + "\n".join(lines)


def _evidence(found: list[tuple[Section, Verdict]]) -> str:
    """Return the sentences with their figures as a table, and under it how each was decided."""
    rows = [
        f"| {escape(section.title)} | {escape(verdict.claim)} | {verdict.status} | {escape(verdict.answer)} |"
        for section, verdict in found
    ]
    tests = dict.fromkeys(verdict.test for _, verdict in found)
    return "\n".join(
        ["**Evidence.**", "", "| experiment | claim | verdict | on the rows |", "|---|---|---|---|", *rows]
        + ["", "How it was decided:", "", *(f"- {escape(test)}" for test in tests)]
    )


def _what_is_missing(names: list[str]) -> str:
    unknown = [name for name in names if name not in REGISTRY]
    known = [name for name in names if name in REGISTRY]
    said = []
    if known:
        said.append(
            f"not run, or not far enough: {', '.join(f'`{name}`' for name in known)} "
            f"(`kernel-collapse reproduce {' '.join(known)}`)"
        )
    if unknown:
        said.append(f"not in this version: {', '.join(f'`{name}`' for name in unknown)}")
    text = "; ".join(said)
    return f"**Missing.** {text[0].upper()}{text[1:]}."
