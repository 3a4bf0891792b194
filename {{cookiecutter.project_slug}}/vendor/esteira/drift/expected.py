"""What to expect of a model on a batch whose labels have not come yet. An expectation, no measure.

The model's probabilities are calibrated on the holdout by isotonic regression (Zadrozny & Elkan
2002); a calibrated probability then says how likely each answer is to be right, and so how good all
of them are on average (confidence-based performance estimation, as NannyML calls it). That holds as
long as the target follows from the probabilities as it did on the holdout: it cannot see that a
concept drifted.
"""

import numpy as np

from esteira.drift.records import ExpectedQuality, Followed
from esteira.line.errors import UserError

DECIDES = 0.5  # a probability from here on is an answer for the class


def require_probabilities(probabilities: np.ndarray) -> None:
    """Raise UserError for numbers that are no probabilities; NaN may stand for no answer."""
    if (np.abs(probabilities - 0.5) > 0.5).any():
        raise UserError("the predictions are no probabilities: give numbers from 0 to 1.")


def expected_quality(followed: Followed, probabilities: np.ndarray) -> ExpectedQuality | None:
    """The quality to expect of answers of shape (rows,), probabilities of `followed.positive`.

    None where there is no answer, or the holdout has not both classes.
    """
    from sklearn.isotonic import IsotonicRegression

    held_out = np.array(followed.probabilities)
    is_positive = np.array(followed.residuals) + held_out > DECIDES  # their sum is 1 or 0
    answered = probabilities[np.isfinite(probabilities)]
    if not len(answered) or is_positive.all() or not is_positive.any():
        return None
    calibration = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    calibration.fit(held_out, is_positive)
    chance = calibration.predict(answered)
    right = np.where(answered >= DECIDES, chance, 1 - chance)
    square = chance * (1 - answered) ** 2 + (1 - chance) * answered**2
    return ExpectedQuality(accuracy=float(right.mean()), brier=float(square.mean()))
