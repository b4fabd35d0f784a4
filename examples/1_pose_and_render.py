"""Sample four random hands of the free model and render them: parameters in, picture out."""

from pathlib import Path

import torch
from PIL import Image

from hifihr_core.hands import load_hand
from hifihr_core.records import Light
from hifihr_core.rendering import Renderer

hand = load_hand("anny", texture_px=256)
parameters = hand.sample_parameters(4, generator=torch.Generator().manual_seed(7))
posed = hand(parameters)  # root frame, metres: vertices (4, 1609, 3), joints (4, 21, 3)

root_cam = torch.tensor([0.0, 0.0, 0.6])  # 60 cm in front of the camera
K = torch.tensor([[600.0, 0.0, 128.0], [0.0, 600.0, 128.0], [0.0, 0.0, 1.0]]).repeat(4, 1, 1)
light = Light(
    ambient=torch.full((4, 3), 0.5),
    color=torch.full((4, 3), 0.6),
    direction=torch.nn.functional.normalize(torch.tensor([[0.4, -0.5, -1.0]]), dim=1).repeat(4, 1),
)
renderer = Renderer(hand.faces, height=256, width=256)
rendered = renderer(posed.vertices + root_cam, K, posed.appearance, light, background=torch.tensor([0.9, 0.9, 0.92]))

sheet = torch.cat(list(rendered.image), dim=2).clamp(0, 1)
Image.fromarray((sheet * 255).byte().permute(1, 2, 0).numpy()).save(Path("hands.png"))
print("hands.png:", tuple(sheet.shape))
