"""What a model of PyTorch is given: class numbers of any kind, and inputs in named tuples."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

import kernel_collapse as kc

CODES = torch.arange(40) % 2


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


class Sum(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 2)

    def forward(self, left, right):
        return self.fc(torch.tanh(left + right))


def made():
    torch.manual_seed(0)
    return Sum(), torch.eye(2, 4)[CODES] + 0.3 * torch.randn(40, 4), torch.randn(40, 4)


@pytest.mark.parametrize("numbers", [(5, 7), (0, 10**7), (3, 2**40)])
def test_the_numbers_of_the_classes_do_not_matter(numbers):
    torch.manual_seed(0)
    model, x = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)), made()[1]
    kernels = ["adaptive", "deep-rfm"]
    labels = torch.tensor(numbers)[CODES]
    found, expected = (
        kc.torch.compare(model, [(x, classes)], kernels, tangent=False) for classes in (labels, CODES)
    )
    for name, row in expected.items():
        assert (found[name].nc1, found[name].alignment) == (row.nc1, row.alignment)


@pytest.mark.parametrize("numbers", [(-1, 1), (0, -100)])
def test_negative_class_numbers_are_refused(numbers):
    model, x = torch.nn.Linear(4, 2), made()[1]
    with pytest.raises(kc.InputError, match=f"labels of batch 0 hold {min(numbers)}, expected class numbers"):
        kc.torch.compare(model, [(x, torch.tensor(numbers)[CODES])], tangent=False)


def test_named_tuples_are_inputs_as_tuples_are():
    model, left, right = made()
    results = []
    for inputs in (Pair(left, right), (left, right)):
        record = kc.torch.record(model, [(inputs, CODES)])["input of fc"]
        compared = kc.torch.compare(model, [(inputs, CODES)], [])
        tangent = kc.torch.empirical_ntk(model, inputs).gram
        agop = kc.torch.agop(model, inputs, layer="fc")
        rows = [row.nc1 for row in compared.values()]
        results.append(np.concatenate([[record.nc1], rows, np.ravel(tangent), np.ravel(agop)]))
    np.testing.assert_array_equal(*results)
