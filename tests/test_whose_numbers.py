"""The metrics of the literature against values made without this code, by every way of getting there.

tests/data/metrics.csv has them on six seeded problems (metrics.npz), from their definitions in plain float64.
"""

import csv
import dataclasses
import pydoc
import re

import numpy as np
import pytest

import kernel_collapse as kc
from conftest import DATA, ROOT
from kernel_collapse.collapse._collapse import MEANINGS
from kernel_collapse.collapse._geometry import MEANINGS as OF_GEOMETRY

#: Each metric of the file: the result that has it, its field, and the weighting where that is not "paper".
TABLE = {
    "nc1_pinv (Papyan)": ("collapse", "nc1_pinv"),
    "nc1_trace (Tirer)": ("collapse", "nc1"),
    "tr SW / tr ST": ("collapse", "nc1_total"),
    "equinorm means: std/mean of norms": ("collapse", "nc2_norms"),
    "equiangularity means: std of cosines": ("collapse", "nc2_angles"),
    "maximal angle means: mean |cos + 1/(C-1)|": ("collapse", "nc2_maximal_angle"),
    "ETF means: ||AA'/||AA'|| - S||_F": ("collapse", "nc2_gram"),
    "equinorm classifier: std/mean of norms": ("collapse", "nc2_classifier_norms"),
    "equiangularity classifier: std of cosines": ("collapse", "nc2_classifier_angles"),
    "maximal angle classifier: mean |cos + 1/(C-1)|": ("collapse", "nc2_classifier_maximal_angle"),
    "ETF classifier: ||AA'/||AA'|| - S||_F": ("collapse", "nc2_classifier_gram"),
    "NC3 Papyan: ||W/||W|| - M/||M|| ||_F": ("collapse", "nc3_self_duality"),
    "NC3 Zhu: ||WM'/||WM'|| - S||_F": ("collapse", "nc3_uncentred"),
    "GNC3: 1 - mean cos(w_c, m_c)": ("collapse", "gnc3"),
    "UNC3: variance over classes of <w_c, m_c>": ("collapse", "unc3"),
    "UNC3 cos: variance over classes of cos(w_c, m_c)": ("collapse", "unc3_cosine"),
    "bias: ||b + W h_G||_2": ("collapse", "nc_bias"),
    "NC4: share argmax = nearest class mean": ("collapse", "nc4"),
    "NC4 class-wise: mean over classes of the share": ("collapse", "nc4_classwise"),
    "CDNV, distance^2": ("collapse", "cdnv"),
    "CDNV, distance^4": ("collapse", "cdnv_quartic"),
    "NC5: mean |cos(m_c, OOD mean)|": ("geometry", "nc5"),
    "hyperspherical distance, mean": ("geometry", "uniformity_distance"),
    "hyperspherical distance, variance": ("geometry", "uniformity_distance_variance"),
    "hyperspherical log 1/distance, mean": ("geometry", "uniformity_log"),
    "hyperspherical log 1/distance, variance": ("geometry", "uniformity_log_variance"),
    "hyperspherical Riesz s=p-2, mean": ("geometry", "uniformity_riesz"),
    "hyperspherical Riesz s=p-2, variance": ("geometry", "uniformity_riesz_variance"),
    "GNC1: NC1 pinv of unit-norm features": ("geometry", "gnc1"),
    "stable rank of a class (centred), mean": ("geometry", "stable_rank"),
    "RankMe of the features: exp entropy of singular values": ("geometry", "rankme"),
    "linear CKA of features and one-hot labels": ("geometry", "label_cka"),
    "kernel-target alignment <K, YY'> / norms": ("geometry", "kernel_target_alignment"),
}
#: What an accumulator's sums do not tell.
OF_FEATURES_ALONE = ("gnc1", "stable_rank")
PROBLEMS = range(6)


@pytest.fixture(scope="module")
def reference():
    with (DATA / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(int(row["seed"]), row["metric"]): float(row["value"]) for row in rows}


@pytest.fixture(scope="module")
def problems():
    names = ("features", "labels", "classifier", "bias", "ood")
    with np.load(DATA / "metrics.npz") as held:
        return [[held[f"{seed}|{name}"] for name in names] for seed in PROBLEMS]


def from_features(features, labels, weights, bias, ood):
    return (
        kc.collapse_from_features(features, labels, classifier=weights, bias=bias),
        kc.geometry_from_features(features, labels, ood_features=ood),
    )


def from_batches(features, labels, weights, bias, ood):
    """Uneven batches in another order, on two accumulators, with a second pass."""
    order = np.random.default_rng(0).permutation(len(labels))
    batches = np.split(order, [1, 4, 5, 23, 60])
    parts = [kc.Accumulator(len(weights), features.shape[1]) for _ in range(2)]
    for i, batch in enumerate(batches):
        parts[i % 2].update(features[batch], labels[batch])
    parts[0].merge(parts[1])
    for batch in batches:
        parts[0].decide(features[batch], labels[batch], features[batch] @ weights.T + bias)
    return parts[0].collapse(classifier=weights, bias=bias), parts[0].geometry(ood_features=ood)


def from_gram(features, labels, weights, bias, ood):
    dual = np.linalg.pinv(features).T @ weights.T  # W = H'alpha
    gram = features @ features.T
    return (
        kc.collapse(gram, labels, dual_weights=dual, bias=bias),
        kc.geometry(gram, labels, dim=features.shape[1], ood_cross=ood @ features.T, ood_gram=ood @ ood.T),
    )


@pytest.mark.parametrize("seed", PROBLEMS)
@pytest.mark.parametrize("way", [from_features, from_batches, from_gram], ids=lambda way: way.__name__)
def test_the_values_of_the_literature(reference, problems, way, seed):
    found = dict(zip(("collapse", "geometry"), way(*problems[seed]), strict=True))
    assert len(TABLE) * len(PROBLEMS) == len(reference)
    for metric, (result, field) in TABLE.items():
        value = getattr(found[result], field)
        if way is from_batches and field in OF_FEATURES_ALONE:
            assert np.isnan(value)
            assert field in found[result].reason
        else:
            assert value == pytest.approx(reference[seed, metric], rel=1e-10), (metric, found[result].reason)
    assert found["collapse"].reason == ""


def test_functions_of_their_own_give_the_same(reference, problems):
    for seed, (features, labels, *_) in enumerate(problems):
        gram, one_hot = features @ features.T, np.eye(labels.max() + 1)[labels]
        wanted = reference[seed, "kernel-target alignment <K, YY'> / norms"]
        for found in (
            kc.kernel_target_alignment(gram, labels),
            kc.kernel_target_alignment(gram, labels, targets=one_hot),
        ):
            assert (found.value, found.reason) == (pytest.approx(wanted, rel=1e-12), "")
        wanted = reference[seed, "linear CKA of features and one-hot labels"]
        for found in (kc.cka(gram, one_hot @ one_hot.T), kc.cka_from_features(features, one_hot)):
            assert (found.value, found.reason) == (pytest.approx(wanted, rel=1e-12), "")


RESULTS = [kc.Collapse, kc.Geometry, kc.NC1, kc.NC1Estimate, kc.BlockStructure, kc.Alignment]
RESULTS += [kc.RegressionCollapse, kc.LawOfSeparation, kc.networks.Training]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.__name__)
def test_help_says_what_each_field_is(result):
    shown = pydoc.plain(pydoc.render_doc(result))
    entries = re.findall(r"^ \|  ([a-z0-9_]+) : .+\n \|      \S", shown, re.M)
    for field in dataclasses.fields(result):
        if not field.name.startswith("_"):
            assert field.name in entries, field.name


def test_the_page_names_every_field():
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z0-9_]+)`", page))
    assert set(MEANINGS) - {"within", "between", "noise_variance"} <= named
    assert set(OF_GEOMETRY) <= named
