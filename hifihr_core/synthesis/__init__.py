"""Synthetic photos of hands: an endless, seeded generator with exact labels (docs/synth.md)."""

from hifihr_core.synthesis.generator import Synthesizer, synth_batches
from hifihr_core.synthesis.options import SynthOptions

__all__ = ["SynthOptions", "Synthesizer", "synth_batches"]
