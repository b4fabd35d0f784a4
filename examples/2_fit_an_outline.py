"""Move a hand onto a silhouette by gradient descent: the gradient comes from the outline itself."""

from dataclasses import replace

import torch

from hifihr_core.hands import load_hand
from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import Renderer

hand = load_hand("anny")
posed = hand(replace(hand.mean_parameters(), texture=None))
K = torch.tensor([[[220.0, 0.0, 64.0], [0.0, 220.0, 64.0], [0.0, 0.0, 1.0]]])
renderer = Renderer(hand.faces, height=128, width=128)
grey = Appearance(torch.full((1, hand.num_vertices, 3), 0.5))
light = Light(torch.ones(1, 3), torch.zeros(1, 3), torch.tensor([[0.0, 0.0, -1.0]]))


def silhouette(root_cam: torch.Tensor) -> torch.Tensor:
    """Return the covered fraction of every pixel for a hand at `root_cam`."""
    return renderer(posed.vertices + root_cam, K, grey, light).silhouette


wanted_root = torch.tensor([0.01, -0.015, 0.42])
wanted = silhouette(wanted_root)
root_cam = torch.tensor([-0.02, 0.02, 0.5], requires_grad=True)
optimizer = torch.optim.Adam([root_cam], lr=0.004)
for _ in range(150):
    optimizer.zero_grad()
    (silhouette(root_cam) - wanted).square().mean().backward()
    optimizer.step()
error_mm = 1000 * (root_cam.detach() - wanted_root).norm()
print(f"root found to {error_mm:.2f} mm, from an outline alone")
assert error_mm < 3
