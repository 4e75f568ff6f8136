"""What a trial stores of networks and sampled kernels is what the library says of them."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

import kernel_collapse as kc
from kernel_collapse.runs import measurements, trials
from kernel_collapse.runs.measurements import DeepRFMNC1, EmpiricalNC1, MeanFieldNC1, NetworkNC1, PosteriorNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial

LAW = GaussianClasses(n=24, dim=3)


def compute(measurement, seed=1):
    return trials.compute(Trial(data=LAW, measurement=measurement, seed=seed))


def test_network():
    options = {"width": 20, "epochs": 30, "learning_rate": 0.05, "readout_variance": 0.5}
    found = compute(NetworkNC1(**options, depth=2, probes=(0, 10, 30)))
    training = kc.networks.train(LAW.sample(1), seeds=[1], depth=2, probes=(0, 10, 30), **options)
    assert found["nc1_paper"] == training.nc1[0, -1, -1]
    assert found["nc1_start"] == training.nc1[0, 0, -1]
    assert found["solver"] == "trained"
    assert found["path_epochs"] == [0, 10, 30]
    np.testing.assert_array_equal(found["path_nc1"], training.nc1[0])
    assert "path_nc1" not in compute(NetworkNC1(**options))


def test_a_network_that_diverges_is_a_failed_trial():
    from kernel_collapse.runs.sweep import attempt

    outcome = attempt(
        Trial(data=LAW, measurement=NetworkNC1(width=20, activation="relu", learning_rate=50.0), seed=0)
    )
    assert outcome.status == "failed"
    assert "training diverged in epoch" in outcome.message


@pytest.mark.parametrize("kernel", ["empirical-nngp", "empirical-ntk"])
def test_empirical_kernels(kernel):
    found = compute(EmpiricalNC1(kernel=kernel, width=30, epochs=20))
    data = LAW.sample(1)
    training = kc.networks.train(
        data,
        seeds=[1],
        width=30,
        epochs=20,
        parameterisation="ntk",
        readout_variance=1.0,
        learning_rate=0.2,
        weight_decay=0.0,
    )
    of = {"empirical-nngp": kc.networks.empirical_nngp, "empirical-ntk": kc.networks.empirical_ntk}[kernel]
    assert (
        found["nc1_class"] == kc.nc1(of(training.networks[0], data.x), data.labels, weighting="class").ratio
    )


def test_deep_rfm():
    options = {"bandwidth": 1.5, "ridge": 0.01, "depth": 3}
    found = compute(DeepRFMNC1(**options, fits=2, targets="one-hot"))
    data = LAW.sample(1)
    machine = kc.deep_rfm(data.x, 2 * np.eye(2)[data.labels] - 1, iterations=2, labels=data.labels, **options)
    assert found["solver"] == "resolved"
    assert found["nc1_class"] == kc.nc1(machine.gram, data.labels, weighting="class").ratio
    np.testing.assert_array_equal(
        [found["layer_nc1_input"], found["layer_nc1_agop"], found["layer_nc1"]], machine.nc1.T
    )
    assert found["training_accuracy"] == machine.layers[-1].accuracy == 1.0
    beside = compute(DeepRFMNC1(**options, constant=4.0))
    x = np.hstack([data.x, np.full((len(data.x), 1), 4.0)])
    machine = kc.deep_rfm(x, data.targets, labels=data.labels, **options)
    np.testing.assert_array_equal(beside["layer_nc1"], machine.nc1[:, 2])
    deeper = compute(DeepRFMNC1(fitted="gaussian", ridge=0.01, depth=5))
    assert deeper["solver"] == "precision_limit"
    assert np.isnan(deeper["nc1_paper"])
    assert np.isfinite(deeper["layer_nc1"][0])


def test_a_deep_rfm_that_is_singular_is_a_failed_trial():
    from kernel_collapse.runs.sweep import attempt

    data = GaussianClasses(n=24, dim=1)
    outcome = attempt(Trial(data=data, measurement=DeepRFMNC1(), seed=0))
    assert outcome.status == "failed"
    assert "of one direction" in outcome.message


def test_sampled_kernels():
    prior = {"width": 20, "noise_variance": 0.1}
    field = compute(MeanFieldNC1(**prior))
    draws = compute(PosteriorNC1(**prior, draws=300))
    for found in (field, draws):
        assert found["solver"] == "converged"
        assert 0 < found["nc1_error"] < 0.05 * found["nc1_paper"]
    assert draws["rhat"] < 1.01
    expected = kc.networks.solve_mean_field(LAW.sample(1), seed=1, **prior)
    assert field["nc1_paper"] == pytest.approx(expected.ratio, rel=1e-12)


def test_sampled_kernels_of_several_layers():
    prior = {"depth": 2, "noise_variance": 0.1}
    field = compute(MeanFieldNC1(width=(20, 30), **prior))
    draws = compute(PosteriorNC1(width=(9, 7), draws=400, **prior))
    for found in (field, draws):
        assert found["solver"] == "converged"
        assert len(found["layer_nc1"]) == len(found["layer_nc1_error"]) == 2
        assert found["layer_nc1"][-1] == pytest.approx(found["nc1_paper"], rel=1e-12)
        assert found["layer_nc1_error"][-1] == found["nc1_error"]
    options = prior | {"width": (20, 30)}
    expected = kc.networks.solve_mean_field(LAW.sample(1), seed=1, **options)
    assert field["layer_nc1"] == pytest.approx([layer.ratio for layer in expected.layers], rel=1e-12)


@pytest.mark.parametrize("kind", [MeanFieldNC1, PosteriorNC1])
def test_a_deeper_network_costs_more_and_one_layer_has_the_key_that_it_had(kind):
    assert "depth" not in kind().model_dump()
    assert kind(depth=2, width=(20, 30)).model_dump()["width"] == (20, 30)
    assert kind(depth=3).cost(100, 10, 2) > kind(depth=2).cost(100, 10, 2) > kind().cost(100, 10, 2)
    assert kind(depth=2).programs(100, 10, 2)


def test_every_name_chooses_its_specification():
    adapter = TypeAdapter(measurements.Measurement)
    assert {"data", "nngp", "ntk", "adaptive", "deep-rfm", "mean-field", "posterior", "network"} < set(
        measurements.KERNELS
    )
    for name in measurements.KERNELS:
        options = {"activation": "erf"} if name in ("nngp", "ntk", "ntk-published") else {}
        chosen = adapter.validate_python({"kernel": name, **options})
        assert chosen.kernel == name
        assert 0 < chosen.cost(100, 10, 2) < chosen.cost(1000, 10, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernel": "network", "width": 0}, "measurement.width is 0, expected more than 0"),
        ({"kernel": "network", "activation": "relo"}, "did you mean 'relu'"),
        ({"kernel": "posterior", "sampler": "gibbs"}, "measurement.sampler is 'gibbs'"),
        ({"kernel": "mean-field", "draws": 3}, "measurement.draws is not a key"),
        ({"kernel": "mean-field", "depth": 2, "width": (5, 5, 5)}, "width has 3 widths at depth 2"),
        ({"kernel": "mean-field", "depth": 0}, "measurement.depth is 0, expected more than 0"),
        ({"kernel": "posterior", "depth": 2, "width": (5, 0)}, "width is 0"),
        ({"kernel": "posterior", "depth": 2, "width": (5, 2.5)}, "width is 2.5, expected a whole number"),
        ({"kernel": "posterior", "width": "5"}, "width is '5', expected a number"),
        ({"kernel": "meanfield"}, "measurement.kernel is 'meanfield', expected one of"),
    ],
)
def test_bad_specifications(fields, message):
    with pytest.raises(ValidationError) as caught:
        Trial.model_validate({"data": {"n": 8, "dim": 1}, "measurement": fields, "seed": 0})
    assert message in trials.describe_errors(caught.value)
