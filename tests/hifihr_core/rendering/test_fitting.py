"""Three fits that succeed only if the gradients are right."""

import math

import pytest
import roma
import torch
from torch.nn import functional

from hifihr_core.records import Appearance, Light
from hifihr_core.rendering import Renderer

SIZE = 48


@pytest.fixture
def scene(make_scene):
    return make_scene(batch=1, size=SIZE, subdivisions=3, dtype=torch.float32, texels=24)


@pytest.fixture
def render(scene):
    renderer = Renderer(scene.faces, height=SIZE, width=SIZE)
    camera = scene.K * torch.tensor([[0.6, 1, 1], [1, 0.6, 1], [1, 1, 1]])

    def render(verts, appearance=scene.appearance, light=scene.light):
        return renderer(verts, camera, appearance, light)

    return render


def descend(loss, leaves, steps, lr):
    optimizer = torch.optim.Adam(leaves, lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=lr / 100)
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        schedule.step()
    return value.item()


def test_translation_from_silhouette_alone(scene, render):
    wanted = render(scene.verts).silhouette.detach()
    start = torch.tensor([0.02, -0.015, 0.05])
    shift = start.clone().requires_grad_()
    descend(lambda: (render(scene.verts + shift).silhouette - wanted).square().mean(), [shift], 150, 3e-3)
    assert start[:2].norm() > 0.02
    assert shift[:2].norm() < 2e-4
    assert abs(shift[2]) < 2e-3


def test_pose_from_silhouette_and_image(scene, render):
    middle = scene.verts.mean(dim=1, keepdim=True)
    target = render(scene.verts)
    start = torch.tensor([[0.15, -0.2, 0.25]])
    rotation, shift = start.clone().requires_grad_(), torch.full((3,), 0.008).requires_grad_()

    def loss():
        turned = (scene.verts - middle) @ roma.rotvec_to_rotmat(rotation).mT + middle + shift
        out = render(turned)
        silhouette = (out.silhouette - target.silhouette.detach()).square().mean()
        return silhouette + (out.image - target.image.detach()).square().mean()

    descend(loss, [rotation, shift], 200, 1e-2)
    assert rotation.norm() < math.radians(0.5)
    assert shift[:2].norm() < 3e-4


def test_texture_and_light_from_image_alone(scene, render):
    target = render(scene.verts).image.detach()
    light = [x.clone() for x in (scene.light.ambient, scene.light.color, scene.light.direction)]
    albedo = torch.full_like(scene.appearance.albedo, 0.5).requires_grad_()
    ambient, color = torch.full((1, 3), 0.3).requires_grad_(), torch.full((1, 3), 0.5).requires_grad_()
    towards = (light[2] + torch.tensor([[0.4, -0.3, 0.2]])).requires_grad_()
    appearance = Appearance(albedo, scene.appearance.uvs, scene.appearance.faces_uvs)

    def draw():
        return render(scene.verts, appearance, Light(ambient, color, functional.normalize(towards, dim=-1)))

    descend(lambda: (draw().image - target).square().mean(), [albedo, ambient, color, towards], 300, 2e-2)
    final = draw()
    seen = final.silhouette[0] == 1
    assert psnr((final.image - target)[0, :, seen]) > 35
    # Brighter light on a darker skin looks the same, so the texture is known up to one factor per colour.
    plain = Light(torch.ones(1, 3), torch.zeros(1, 3), light[2])
    ours, theirs = (render(scene.verts, a, plain).image[0, :, seen] for a in (appearance, scene.appearance))
    factor = (ours * theirs).sum(1, keepdim=True) / ours.square().sum(1, keepdim=True)
    assert psnr(factor * ours - theirs) > 35


def psnr(difference):
    return -10 * difference.square().mean().log10().item()
