import json
import re

import pytest
from pydantic import ValidationError

import kernel_collapse as kc
from kernel_collapse.cli import _progress
from kernel_collapse.runs import laws, measurements, trials
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1
from kernel_collapse.runs.trials import GaussianClasses, ShippedData, Trial

TRIAL = Trial(
    data=GaussianClasses(n=20, dim=3), measurement=KernelNC1(kernel="ntk", activation="relu"), seed=4
)


def network(seed=0, n=24, **options):
    kernel = options.pop("kernel", "network")
    data = GaussianClasses(n=n, dim=2)
    return Trial(data=data, measurement={"kernel": kernel, "width": 8, "epochs": 4, **options}, seed=seed)


def test_what_is_compiled_counts_once_a_process():
    shared = [network(seed) for seed in range(3)] + [network(learning_rate=0.1), network(epochs=9)]
    others = [network(n=26), network(width=9), network(activation="relu"), network(probes=(0, 1, 4))]
    plain = Trial(data=GaussianClasses(n=24, dim=2), measurement=KernelNC1(kernel="data"), seed=0)
    assert plain.programs == {}
    todo = [*shared, *others, plain]
    programs = {program: seconds for trial in todo for program, seconds in trial.programs.items()}
    assert len(programs) == 1 + 1 + len(others)  # JAX itself, one for those that share it, and their own
    work = sum(trial.cost for trial in todo)
    found = trials.costs(todo)
    assert sum(found.values()) == pytest.approx(work + sum(programs.values()))
    assert found[shared[0].key] > 1 > found[shared[1].key] == shared[1].cost
    twice = trials.costs(todo, processes=2)  # each process starts JAX, and compiles what it shares
    again = sum(shared[0].programs.values())
    assert sum(twice.values()) == pytest.approx(work + sum(programs.values()) + again)
    assert _progress.Forecast(todo, 1).left() == pytest.approx(sum(found.values()))


def test_programs_are_those_that_jax_compiles():
    """What the model takes for one program is one, and what it takes for another is another."""
    from kernel_collapse.networks._descent import run

    todo = [
        network(0, n=22),
        network(1, n=22),
        network(0, n=22, learning_rate=0.01, weight_decay=0.1, epochs=7),
        network(0, n=22, kernel="empirical-nngp", parameterisation="standard"),
        network(0, n=22, probes=(0, 2, 4)),
    ]
    known, before = set(), run._cache_size()
    for trial in todo:
        known |= {program for program in trial.programs if program[0] == "descent"}
        trials.compute(trial)
        assert run._cache_size() - before == len(known)
    assert len(known) == 2


def test_key_is_that_of_the_content():
    again = Trial.model_validate_json(TRIAL.model_dump_json())
    assert again == TRIAL
    assert again.key == TRIAL.key
    shuffled = dict(reversed(json.loads(TRIAL.model_dump_json()).items()))
    assert Trial.model_validate(shuffled).key == TRIAL.key
    assert TRIAL.model_copy(update={"seed": 5}).key != TRIAL.key
    # Rows of earlier runs are found by this key: a change here orphans them.
    assert TRIAL.key == "a23c65adf1430111a970b3ae"
    imbalanced = GaussianClasses(n=24, dim=2, class_means=(-6, -2, 2, 6), class_sizes=(3, 5, 7, 9))
    adaptive = Trial(data=imbalanced, measurement=AdaptiveNC1(width=50), seed=1)
    assert adaptive.key == "55187a70f3471843ebefa409"


def test_data_without_a_law_are_gaussian_classes():
    written = json.loads(TRIAL.model_dump_json())
    assert written["data"].pop("law") == "gaussian_classes"
    assert Trial.model_validate(written).key == TRIAL.key


@pytest.mark.parametrize("standardized", [True, False])
def test_shipped_data(standardized):
    law = ShippedData(name="wine", n=60, standardized=standardized)
    trial = Trial(data=law, measurement=KernelNC1(kernel="nngp", activation="erf", depth=2), seed=3)
    again = Trial.model_validate_json(trial.model_dump_json())
    assert again == trial
    assert again.key == trial.key
    assert (law.name, law.n, law.dim, law.n_classes) == ("wine", 60, 13, 3)
    data = kc.data.subset(kc.data.shipped("wine"), 60, seed=3)
    if standardized:
        data = kc.data.standardize(data)
    sampled = law.sample(3)
    assert (sampled.x == data.x).all()
    assert (law.sample(4).x != data.x).any()
    expected = kc.nc1(kc.nngp(data.x, depth=2), data.labels).ratio
    assert trials.compute(trial)["nc1_paper"] == expected
    assert trial.cost == trial.measurement.cost(60, 13, 3) > 0


def test_what_shipped_data_are_known_by():
    for name in kc.data.SHIPPED:
        law = ShippedData(name=name, n=50)
        sampled = law.sample(0)
        assert sampled.x.shape == (law.n, law.dim)
        assert len(sampled.class_sizes) == law.n_classes


def test_a_trial_is_what_the_library_computes():
    data = kc.data.gaussian_classes(20, 3, seed=4)
    expected = kc.nc1_weightings(kc.ntk(data.x, activation="relu"), data.labels)
    result = trials.compute(TRIAL)
    assert len(result) == 12
    for weighting, value in expected.items():
        assert result[f"nc1_{weighting}"] == value.ratio
        assert result[f"within_{weighting}"] == value.within
        assert result[f"between_{weighting}"] == value.between


def test_the_data_themselves():
    trial = Trial(data=GaussianClasses(n=20, dim=3), measurement=KernelNC1(kernel="data"), seed=4)
    data = kc.data.gaussian_classes(20, 3, seed=4)
    assert trials.compute(trial)["nc1_class"] == kc.nc1_from_features(data.x, data.labels).ratio


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed": 3}, "speed is not a key of this specification"),
        (
            {"data": {"n": 20, "dim": 3, "class_size": [1, 19]}},
            "data.class_size is not a key of this specification",
        ),
        (
            {"data": {"n": 20, "dim": 3, "class_sizes": [10, 11]}},
            r"^data.class_sizes \(10, 11\) add up to 21, expected n = 20: change either\.$",
        ),
        ({"data": {"n": 20, "dim": 3, "class_stds": [0.5]}}, "class_stds has 1 entries"),
        ({"data": {"n": 20, "dim": 3, "class_stds": 0.0}}, "data.class_stds.* is 0.0"),
        ({"data": {"n": 0, "dim": 3}}, "data.n is 0, expected more than 0"),
        ({"measurement": {"kernel": "ntk", "activation": "relu", "depth": 0}}, "measurement.depth is 0"),
        ({"measurement": {"kernel": "ntk", "activation": "relu", "depth": 1.5}}, "measurement.depth is 1.5"),
        ({"measurement": {"kernel": "ntk", "activation": "rleu"}}, "did you mean 'relu'"),
        ({"measurement": {"kernel": "ntk"}}, "only 'data' has none"),
        ({"measurement": {"kernel": "data", "activation": "erf"}}, "only 'data' has none"),
        ({"measurement": {"kernel": "ntk-published", "activation": "relu"}}, "exists for erf at depth 1"),
        ({"measurement": {"kernel": "nkt", "activation": "erf"}}, "measurement.kernel is 'nkt'"),
        (
            {"measurement": {"kernel": "ntk", "activation": "erf", "weight_variance": float("inf")}},
            "weight_variance",
        ),
        ({"seed": -1}, "seed is -1"),
        (
            {"data": {"law": "shiped"}},
            "data.law is 'shiped', expected one of ball, .*: did you mean 'shipped'",
        ),
        ({"data": {"law": "shipped", "name": "digit", "n": 20}}, "data.name.* did you mean 'digits'"),
        ({"data": {"law": "shipped", "name": "wine", "n": 179}}, "n is 179, expected 3 to 178 samples"),
        ({"data": {"law": "shipped", "name": "wine", "n": 2}}, "n is 2, expected 3 to 178 samples"),
        (
            {"data": {"law": "shipped", "name": "wine", "n": 20, "dim": 3}},
            "^data.dim is not a key of this specification",
        ),
        ({"data": 3}, "^data is 3"),
    ],
)
def test_bad_specifications_are_refused(change, message):
    with pytest.raises(ValidationError) as caught:
        Trial.model_validate(json.loads(TRIAL.model_dump_json()) | change)
    described = trials.describe_errors(caught.value)
    assert "\n" not in described
    assert re.search(message, described), described


FILE = {"path": "t.csv", "n": 9, "content": {"sha256": "1" * 64, "rows": 9, "features": 2, "classes": 2}}


def held(kind):
    """Return the types of what is in a key, by the schema that pydantic gives of it."""
    found = {kind["type"]} if "type" in kind else set()
    for inner in (*kind.get("anyOf", ()), *kind.get("prefixItems", ()), kind.get("items")):
        found |= held(inner) if isinstance(inner, dict) else set()
    return found - {"null", "array"}


def strict_keys():
    """Yield every key of every specification that is numbers or a truth value, and which of them."""
    for name, specification in (laws.SPECIFICATIONS | measurements.SPECIFICATIONS | {"trial": Trial}).items():
        schema = specification.model_json_schema()
        schema = schema["$defs"][specification.__name__] if "$ref" in schema else schema
        for key, kind in schema["properties"].items():
            kinds = held(kind)
            if kinds and kinds <= {"integer", "number", "boolean"}:
                yield pytest.param(specification, key, kinds == {"boolean"}, id=f"{name}.{key}")


def test_every_kind_of_key_is_held_to_its_kind():
    ids = {found.id for found in strict_keys()}
    assert {"shipped.standardized", "file.header", "tree.class_sizes", "ball.radius", "network.probes"} <= ids
    assert {"label-noise.fraction", "posterior.width", "mean-field.accuracy", "trial.seed"} <= ids


@pytest.mark.parametrize(("specification", "key", "truth"), list(strict_keys()))
def test_nothing_is_made_a_number_or_a_truth_value(specification, key, truth):
    wrong = ["1", ["1", "2"], ["x", 1], [["1"]]]
    said = f"{key} is ('1'|'x'), expected a number"
    if truth:
        wrong, said = ["no", "true", 0, 1, 1.0, [1], ["yes"]], f"{key} is .*, expected true or false"
    for value in wrong:
        given = (FILE if specification.__name__ == "FileData" else {}) | {key: value}
        with pytest.raises(ValidationError, match=said):
            specification.model_validate(given)
