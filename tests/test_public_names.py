"""What other people's scripts rely on: the public names, and what they are called with."""

import importlib
import inspect
from operator import attrgetter

import pytest

import kernel_collapse as kc

#: The parameters of each function; those before "*" may be given by position, in this order.
SIGNATURES = {
    "data.gaussian_classes": (
        "n dim * class_means class_stds class_covariances class_sizes imbalance class_targets seed"
    ),
    "data.from_arrays": "x labels targets * name features",
    "data.images": "source labels",
    "data.load": "path * label features header like",
    "data.sample": "law * n dim seed **options",
    "data.laws": "",
    "data.shipped": "name",
    "data.split": "dataset holdout * seed",
    "data.subset": "dataset n * seed",
    "data.standardize": "dataset * like",
    "nngp": "x x_other * activation depth weight_variance bias_variance kind dtype",
    "ntk": "x x_other * activation depth weight_variance bias_variance dtype",
    "activations.names": "* expanded",
    "activations.get": "activation",
    "activations.expand": "function * name orders tail kinks",
    "kernels.NNGP": "activation * depth weight_variance bias_variance kind dtype",
    "kernels.NTK": "activation * depth weight_variance bias_variance dtype",
    "kernels.Linear": "* weight_variance bias_variance dtype",
    "kernels.Precomputed": "gram",
    "kernels.ConvNNGP": "layers * activation readout weight_variance bias_variance dtype",
    "kernels.ConvNTK": "layers * activation readout weight_variance bias_variance dtype",
    "kernels.Conv": "filter_size stride padding",
    "kernels.Activation": "activation",
    "kernels.AvgPool": "size stride",
    "kernels.Flatten": "",
    "kernels.GlobalAvgPool": "",
    "kernels.Kernel.__call__": "self x y",
    "kernels.Kernel.tile": "self x y",
    "kernels.Kernel.pairs": "self left right",
    "kernels.Kernel.diagonal": "self x",
    "nc1": "gram labels * weighting",
    "nc1_from_features": "features labels * weighting",
    "nc1_weightings": "gram labels",
    "collapse": "gram labels * targets noise_variance dual_weights weighting",
    "collapse_from_features": "features labels * classifier bias targets weighting",
    "held_out_collapse": (
        "gram labels cross diagonal test_labels * targets noise_variance dual_weights weighting"
    ),
    "held_out_collapse_from_features": (
        "features labels test_features test_labels * classifier bias targets weighting"
    ),
    "geometry": "gram labels * dim ood_cross ood_gram",
    "geometry_from_features": "features labels * ood_features",
    "block_structure": "gram labels",
    "kernel_target_alignment": "gram labels * targets",
    "cka": "gram other",
    "cka_from_features": "features other",
    "regression_collapse": "gram targets * dual_weights",
    "regression_collapse_from_features": "features targets * classifier",
    "law_of_separation": "layers",
    "streamed_nc1": (
        "x labels * kernel weighting tile workers progress activation depth weight_variance bias_variance"
    ),
    "streamed_collapse": (
        "x labels * kernel dual_weights targets weighting tile workers progress activation depth "
        "weight_variance bias_variance"
    ),
    "sampled_nc1": (
        "x labels * kernel relative_error confidence pairs max_pairs weighting seed activation depth "
        "weight_variance bias_variance"
    ),
    "random_feature_nc1": (
        "x labels * features activation depth weight_variance bias_variance weighting confidence seed rows"
    ),
    "solve_adaptive": (
        "x targets * activation width weight_variance readout_variance noise_variance label_term anneal "
        "starts curvature seed max_evaluations raise_on_failure"
    ),
    "deep_rfm": (
        "x targets * depth kernel bandwidth ridge activation iterations labels inputs raise_on_failure"
    ),
    "DeepRFM.held_out": "self x labels * diagonal",
    "kernels.Laplace": "bandwidth * dtype",
    "kernels.Gaussian": "bandwidth * dtype",
    "kernels.ProductKernel.of_products": "self q1 q2 c",
    "kernels.ProductKernel.slopes": "self q1 q2 c",
    "networks.train": (
        "dataset * width depth activation layers epochs learning_rate weight_decay seeds parameterisation "
        "weight_variance readout_variance bias_variance biases loss optimiser momentum batch_size probes "
        "weighting precision raise_on_failure"
    ),
    "networks.sample_posterior": (
        "dataset * width activation weight_variance readout_variance noise_variance sampler chains draws "
        "warmup thin trajectory acceptance step_size accuracy weighting seed raise_on_failure"
    ),
    "networks.solve_mean_field": (
        "dataset * width activation weight_variance readout_variance noise_variance particles accuracy "
        "max_iterations weighting seed raise_on_failure"
    ),
    "rfm.kernel_agop": "x targets * kernel ridge metric",
    "rfm.feature_ansatz": "weight_gram agop * power",
    "networks.agop": "network x * layer",
    "networks.empirical_nngp": "network x x_other * layer",
    "networks.empirical_ntk": "network x x_other * output",
    "theory.expected_nc1": (
        "mixture * kernel activation depth weight_variance bias_variance class_sizes class_shares "
        "weighting method accuracy max_points seed"
    ),
    "theory.gaussian_mixture": "dim * class_means class_stds class_covariances",
    "theory.far_separated_nc1": (
        "mixture * kernel activation depth weight_variance bias_variance class_sizes class_shares weighting"
    ),
    "theory.large_dimension_nc1": (
        "mixture * order kernel activation depth weight_variance bias_variance class_sizes class_shares "
        "weighting"
    ),
    "record": "features batches * n_classes classifier bias decide metrics weighting progress",
    "torch.record": (
        "model loader layers * reduce n_classes classifier decide metrics weighting split autocast processes "
        "ansatz progress"
    ),
    "torch.compare": "model loader kernels * layers reduce activation depth tangent samples seed split",
    "torch.empirical_ntk": "model inputs * projection seed",
    "torch.agop": "model inputs * layer",
    "torch.Callback": "loader layers * epochs decide path history **options",
    "plots.over_epochs": "history * metrics axes",
    "plots.over_layers": "record * metrics axes",
    "plots.heat_map": "history * metric axes",
    "plots.cosines": "class_means * axes",
    "plots.features": "values labels * dimensions axes",
    "plots.gram_matrix": "gram labels * axes",
    "plots.nc1_of_layers": "solution * axes",
    "plots.over_training": "training * metric axes",
    "results": "folder",
    "describe_columns": "",
}

#: What is read off each result.
ATTRIBUTES = {
    "InputError": "what given expected hint",
    "Dataset": "x labels targets name image_shape images",
    "Accumulator": "class_means update decide merge collapse geometry save load",
    "Alignment": "value reason to_frame",
    "BlockStructure": "diagonal within between residual reason to_frame",
    "Geometry": "gnc1 nc5 uniformity_distance stable_rank rankme kernel_target_alignment label_cka reason to_frame",
    "LawOfSeparation": "log_fuzziness slope decay correlation reason to_frame",
    "RegressionCollapse": "nrc1 nrc2 nrc3 gamma reason to_frame",
    "Record": "collapses class_means counts decided classifier ansatz to_frame means_of",
    "History": "epochs layers append values ansatz to_frame save load",
    "torch.Callback": "history",
    "torch.Comparison": "kernels grams labels to_frame plot",
    "torch.Compared": "source nc1 nc1_error alignment cka diagonal within between reason",
    "torch.TangentKernel": "gram parts jackknife",
    "NC1": "within between ratio",
    "NC1Estimate": "ratio low high pairs",
    "Collapse": "nc1 nc1_pinv cdnv nc2_norms nc2_angles nc2_etf nc3 nc3_cosine nc4 nc1_total cdnv_quartic nc2_gram "
    "nc2_maximal_angle nc2_classifier_norms nc2_classifier_angles nc2_classifier_maximal_angle nc2_classifier_gram "
    "nc3_uncentred nc3_cosine_uncentred nc3_self_duality gnc3 unc3 unc3_cosine nc_bias nc4_classwise nc4_by_class "
    "reason to_frame",
    "AdaptiveSolution": "gram output_gram weight_covariance free_energy prior_free_energy residual status iterations "
    "evaluations path",
    "DeepRFM": "layers status labels gram nc1 round_off condition training_error held_out",
    "rfm.FeatureAnsatz": "correlation cosine reason",
    "rfm.RFMLayer": "gram gram_input gram_agop nc1 nc1_input nc1_agop round_off condition training_error accuracy "
    "predictions status reason collapse",
    "rfm.HeldOut": "layers",
    "rfm.HeldOutLayer": "cross cross_input cross_agop diagonal diagonal_agop nc1 nc1_input nc1_agop accuracy "
    "predictions reason",
    "networks.Training": "nc1 nc3 nc3_cosine epochs seeds loss accuracy networks status",
    "networks.Posterior": "gram grams layers nc1 ratio ratio_error rhat ess status",
    "networks.PosteriorLayer": "gram gram_error ratio ratio_error rhat ess",
    "networks.MeanField": "gram grams layers ratio ratio_error status",
    "networks.MeanFieldLayer": "gram gram_error ratio ratio_error ess",
    "theory.ExpectedNC1": "ratio ratio_error within between status",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_function_takes_what_it_took(name):
    """New parameters are free as long as they are keywords with defaults."""
    before, _, after = SIGNATURES[name].replace("**", "").partition("*")
    parameters = inspect.signature(attrgetter(name)(kc)).parameters
    by_position = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert by_position == before.split()
    listed = after.split()
    assert set(listed) <= set(parameters)
    for new in set(parameters) - {*by_position, *listed}:
        assert parameters[new].default is not inspect.Parameter.empty, new


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_result_has_what_it_had(name):
    kind = attrgetter(name)(kc)
    known = {*dir(kind), *inspect.get_annotations(kind)}
    for base in kind.__mro__:
        known |= set(inspect.get_annotations(base))
    assert set(ATTRIBUTES[name].split()) <= known


def test_every_public_name_exists_and_is_documented():
    modules = ("activations", "data", "kernels", "networks", "plots", "rfm", "theory", "torch")
    listed = {name.split(".")[0] for name in (*SIGNATURES, *ATTRIBUTES)} | {"AdaptiveError"}
    assert set(kc.__all__) == listed | set(modules)
    for name in (*SIGNATURES, *ATTRIBUTES):
        assert attrgetter(name)(kc).__doc__


PACKAGES = ["activations", "adaptive", "collapse", "data", "kernels", "networks", "recording", "theory"]
PACKAGES += ["plots", "rfm", "torch"]
PACKAGES += ["cli", "cluster", "compare", "report"]


@pytest.mark.parametrize("name", ["kernel_collapse", *(f"kernel_collapse.{name}" for name in PACKAGES)])
def test_completion_shows_public_names_and_nothing_else(name):
    module = importlib.import_module(name)
    assert dir(module) == sorted(module.__all__)
    assert not [public for public in dir(module) if public.startswith("_")]
    for public in dir(module):
        getattr(module, public)


def test_the_specified_defaults():
    """Of docs: the published D1, the feature kernel of depth 1, the prior of the published networks."""

    def default(name, parameter):
        return inspect.signature(attrgetter(name)(kc)).parameters[parameter].default

    assert default("data.gaussian_classes", "n") == 1024
    assert default("data.gaussian_classes", "dim") == 1
    assert default("data.gaussian_classes", "class_means") == (-2.0, 2.0)
    for kernel in ("nngp", "ntk"):
        expected = {"activation": "erf", "depth": 1, "weight_variance": 1.0, "bias_variance": 0.0}
        assert {key: default(kernel, key) for key in expected} == expected
    assert default("nngp", "kind") == "features"
    for function in ("nc1", "nc1_from_features", "collapse", "streamed_nc1", "sampled_nc1"):
        assert default(function, "weighting") == "paper"
    expected = {"width": 500, "readout_variance": 1 / 128, "noise_variance": 1e-6, "label_term": "exact"}
    assert {key: default("solve_adaptive", key) for key in expected} == expected
