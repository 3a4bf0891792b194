"""What a model file may name: scikit-learn's, numpy's and scipy's own, each in one kind of place.

Each name was read for what it does when a file has it made or called with values of the file's
choice. Classes are made without their constructor and only hold numbers, settings and other
objects of a file. Functions compute from arrays: they read no file, start nothing, import nothing
by name, and call no function of their arguments' but what the file names, which is checked too.
So nothing of `sklearn.datasets`, `sklearn.utils`, `numpy.load` or `scipy.stats` (whose
distributions run text when they are loaded) is here. What skops trusts by itself (ufuncs, plain
containers) is not repeated, and scikit-learn's public estimators are known by `is_estimator`.
"""

import importlib
import inspect

# By skops' name of the place (https://skops.readthedocs.io/en/stable/persistence.html), by module.
_NAMES: dict[str, dict[str, str]] = {
    "ObjectNode": {
        "esteira.line.pipeline_parts": "Features NumberedLabels",
        "scipy.interpolate._bsplines": "BSpline",
        "sklearn._loss.loss": "HalfTweedieLoss HalfTweedieLossIdentity",
        "sklearn.calibration": "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling",
        "sklearn.cluster._bisect_k_means": "_BisectingTree",
        "sklearn.compose._column_transformer": "make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor": "TreePredictor",
        "sklearn.gaussian_process._gpc": "_BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels": (
            "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Matern"
            " PairwiseKernel Product RBF RationalQuadratic Sum WhiteKernel"
        ),
        "sklearn.impute._iterative": "IterativeImputer",
        "sklearn.metrics._dist_metrics": (
            "BrayCurtisDistance32 BrayCurtisDistance64 CanberraDistance32 CanberraDistance64"
            " ChebyshevDistance32 ChebyshevDistance64 DiceDistance32 DiceDistance64"
            " EuclideanDistance32 EuclideanDistance64 HammingDistance32 HammingDistance64"
            " HaversineDistance32 HaversineDistance64 JaccardDistance32 JaccardDistance64"
            " MahalanobisDistance32 MahalanobisDistance64 ManhattanDistance32 ManhattanDistance64"
            " MinkowskiDistance32 MinkowskiDistance64 RogersTanimotoDistance32"
            " RogersTanimotoDistance64 RussellRaoDistance32 RussellRaoDistance64"
            " SEuclideanDistance32 SEuclideanDistance64 SokalMichenerDistance32"
            " SokalMichenerDistance64 SokalSneathDistance32 SokalSneathDistance64"
        ),
        "sklearn.metrics._scorer": "_CurveScorer _MultimetricScorer _PassthroughScorer _Scorer",
        "sklearn.model_selection._split": (
            "GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut LeavePGroupsOut"
            " LeavePOut PredefinedSplit RepeatedKFold RepeatedStratifiedKFold ShuffleSplit"
            " StratifiedGroupKFold StratifiedKFold StratifiedShuffleSplit TimeSeriesSplit"
        ),
        "sklearn.multiclass": "_ConstantPredictor",
        "sklearn.neighbors._ball_tree": "BallTree BallTree32 BallTree64",
        "sklearn.neighbors._kd_tree": "KDTree KDTree32 KDTree64",
        "sklearn.neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
        "sklearn.utils._metadata_requests": "MetadataRequest MethodMetadataRequest",
    },
    "TupleNode": {"sklearn.impute._iterative": "_ImputerTriplet"},
    "DictNode": {"sklearn.utils._bunch": "Bunch"},
    "DTypeNode": {"numpy": "dtype"},
    "TreeNode": {"sklearn.tree._tree": "Tree"},
    "SparseMatrixNode": {
        "scipy.sparse._bsr": "bsr_array bsr_matrix",
        "scipy.sparse._coo": "coo_array coo_matrix",
        "scipy.sparse._csc": "csc_array csc_matrix",
        "scipy.sparse._csr": "csr_array csr_matrix",
        "scipy.sparse._dia": "dia_array dia_matrix",
    },
    "FunctionNode": {
        "numpy": "max mean median min sum",
        "scipy._lib.array_api_compat.numpy._aliases": "asarray",
        "sklearn.cluster._kmeans": "_kmeans_single_elkan _kmeans_single_lloyd",
        "sklearn.feature_selection._mutual_info": "mutual_info_classif mutual_info_regression",
        "sklearn.feature_selection._univariate_selection": (
            "chi2 f_classif f_oneway f_regression r_regression"
        ),
        "sklearn.metrics._classification": (
            "accuracy_score balanced_accuracy_score brier_score_loss cohen_kappa_score"
            " d2_brier_score d2_log_loss_score f1_score fbeta_score jaccard_score log_loss"
            " matthews_corrcoef precision_score recall_score"
        ),
        "sklearn.metrics._ranking": (
            "average_precision_score ndcg_score roc_auc_score top_k_accuracy_score"
        ),
        "sklearn.metrics._regression": (
            "d2_absolute_error_score d2_pinball_score d2_tweedie_score explained_variance_score"
            " max_error mean_absolute_error mean_absolute_percentage_error mean_gamma_deviance"
            " mean_pinball_loss mean_poisson_deviance mean_squared_error mean_squared_log_error"
            " mean_tweedie_deviance median_absolute_error r2_score root_mean_squared_error"
            " root_mean_squared_log_error"
        ),
        "sklearn.metrics._scorer": "negative_likelihood_ratio positive_likelihood_ratio",
        "sklearn.metrics.pairwise": (
            "additive_chi2_kernel chi2_kernel cosine_distances cosine_similarity"
            " euclidean_distances haversine_distances laplacian_kernel linear_kernel"
            " manhattan_distances nan_euclidean_distances polynomial_kernel rbf_kernel"
            " sigmoid_kernel"
        ),
    },
}


def _spelt_out(modules: dict[str, str]) -> frozenset[str]:
    return frozenset(
        f"{module}.{name}" for module, names in modules.items() for name in names.split()
    )


ALLOWED = {place: _spelt_out(modules) for place, modules in _NAMES.items()}

_NO_ROOMS = {"tests", "experimental", "externals"}  # of scikit-learn, in which no estimator lives


def is_estimator(name: str) -> bool:
    """Whether this is the full name of a class that `sklearn.utils.all_estimators` would list.

    These skops trusts as the class of an object. Asked of one name, only the public module in which
    it stands is imported, and nothing of any other package.
    """
    module, _, kind = name.rpartition(".")
    parts = module.split(".")
    private = [at for at, part in enumerate(parts) if part.startswith("_")]
    public = parts[: private[0]] if private else parts
    if public[:1] != ["sklearn"] or kind.startswith("_") or not _NO_ROOMS.isdisjoint(parts):
        return False
    try:
        found = getattr(importlib.import_module(".".join(public)), kind)
    except (ImportError, AttributeError):
        return False
    return (
        inspect.isclass(found)
        and f"{found.__module__}.{found.__qualname__}" == name
        and _is_whole_estimator(found)
    )


def _is_whole_estimator(kind: type) -> bool:
    from sklearn.base import BaseEstimator

    whole = not inspect.isabstract(kind)
    return issubclass(kind, BaseEstimator) and kind is not BaseEstimator and whole
