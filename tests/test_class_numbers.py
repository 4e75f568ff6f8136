"""Targets that are class numbers are fitted as sizes: a remark says so, and text is told what to give."""

import numpy as np
import pytest

import kernel_collapse as kc

LABELS = np.arange(12) % 3
X = np.random.default_rng(0).normal(size=(12, 3)) + LABELS[:, None]


def remark(targets):
    return kc.solve_adaptive(X, targets, width=50).remark


@pytest.mark.parametrize("targets", [LABELS, LABELS.astype(float)[:, None], LABELS.tolist()])
def test_a_column_of_class_numbers_is_remarked(targets):
    said = remark(targets)
    assert said.startswith("The targets are one column of the numbers 0 to 2, which are fitted as sizes")
    assert "kernel_collapse.data.from_arrays(x, labels).targets" in said
    solution = kc.solve_adaptive(X, targets, width=50)
    assert solution.explanation.endswith(said)


@pytest.mark.parametrize(
    "targets",
    [
        LABELS % 2,  # two classes are two sizes in any case
        LABELS - 1.0,
        LABELS + 0.5,
        2.0 * LABELS,
        np.arange(12),  # a size a sample
        np.eye(3)[LABELS],
        kc.data.from_arrays(X, LABELS).targets,
    ],
)
def test_other_targets_are_not(targets):
    assert remark(targets) == ""


@pytest.mark.parametrize("solve", [kc.solve_adaptive, kc.deep_rfm])
@pytest.mark.parametrize("kind", [np.array, list, lambda text: np.array(text, dtype=object)])
def test_text_is_told_what_to_give(solve, kind):
    with pytest.raises(kc.InputError, match="of classes, give kernel_collapse.data.from_arrays") as refusal:
        solve(X, kind(list("abc" * 4)))
    assert refusal.value.what == "targets"
    classes = kc.data.from_arrays(X, list("abc" * 4))
    assert kc.solve_adaptive(X, classes.targets, width=50).remark == ""
