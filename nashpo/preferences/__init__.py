"""Preferences learned from comparisons: from votes to an oracle that a game can be made of, and how far to trust it.

`Comparisons` are the data. Items that can be numbered are learned by `fit_bradley_terry`, `fit_general_preference` and
`fit_annotator_groups`; responses with features by `fit`, which trains a `RewardModel`, an `EmbeddingModel` or a
`PairwiseModel` around any Flax module. Votes that may be wrong are corrected with `flip=` or smoothed with
`smoothing=`.
"""

from nashpo.preferences.bradley_terry import fit_bradley_terry
from nashpo.preferences.comparisons import Comparisons
from nashpo.preferences.embeddings import bounding_penalty, fit_general_preference
from nashpo.preferences.evaluation import (
    Calibration,
    accuracy,
    calibration,
    cyclic_accuracy,
    cyclic_comparisons,
    log_likelihood,
    win_probabilities,
)
from nashpo.preferences.groups import AnnotatorGroups, fit_annotator_groups
from nashpo.preferences.losses import cross_entropy, targets
from nashpo.preferences.models import EmbeddingModel, PairwiseModel, RewardModel
from nashpo.preferences.networks import Perceptron
from nashpo.preferences.sampling import sample_annotators, sample_comparisons
from nashpo.preferences.training import Fitted, Training, fit

__all__ = [
    "AnnotatorGroups",
    "Calibration",
    "Comparisons",
    "EmbeddingModel",
    "Fitted",
    "PairwiseModel",
    "Perceptron",
    "RewardModel",
    "Training",
    "accuracy",
    "bounding_penalty",
    "calibration",
    "cross_entropy",
    "cyclic_accuracy",
    "cyclic_comparisons",
    "fit",
    "fit_annotator_groups",
    "fit_bradley_terry",
    "fit_general_preference",
    "log_likelihood",
    "sample_annotators",
    "sample_comparisons",
    "targets",
    "win_probabilities",
]
