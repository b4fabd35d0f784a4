"""From any photo to posed, textured hands: `Predictor`."""

from hifihr_core.prediction.predictor import Predictor, PredictSettings
from hifihr_core.prediction.results import HandResult, PhotoResult

__all__ = ["HandResult", "PhotoResult", "PredictSettings", "Predictor"]
