"""Prediction: reconstruct posed, textured hands from photos, with `Predictor`."""

from hifihr_core.exports.results import HandResult, PhotoResult
from hifihr_core.prediction.predictor import Predictor, PredictSettings

__all__ = ["HandResult", "PhotoResult", "PredictSettings", "Predictor"]
