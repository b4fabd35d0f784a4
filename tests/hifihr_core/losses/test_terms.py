"""Every term: zero at the truth, checked by hand, a gradient elsewhere, and no effect of samples without the label."""

from dataclasses import replace

import pytest
import roma
import torch

from hifihr_core.hands.contract import HandParameters
from hifihr_core.losses import supervision  # noqa: F401  (fills the registry)
from hifihr_core.losses.geometric import MEAN_BONE_M, bone_directions, bone_length, robust
from hifihr_core.losses.photometric import composite, region_mean, soft_iou, ssim_map
from hifihr_core.losses.priors import laplacian_offsets
from hifihr_core.losses.terms import TERMS, term
from hifihr_core.metrics.pose import pa_mpjpe
from hifihr_core.records import Light

#: Terms on the hand itself; test_maps.py is about those on the maps that it was found by.
OF_HANDS = {name: row for name, row in TERMS.items() if "keypoints" not in row.requires}

#: Terms that compare with a label or a photo are zero at the truth.
COMPARING = sorted(
    name
    for name, row in OF_HANDS.items()
    if (row.labels or {"region", "start"} & row.requires) and name not in ("perceptual", "silhouette", "iou")
)


def loss_of(name, inputs):
    ratio = TERMS[name].function(inputs)
    return ratio.total.sum() / ratio.weight.sum()


def moved(estimate, amount=0.1):
    """Return the estimate with every parameter off by about `amount`, as leaves that require gradients."""
    generator = torch.Generator().manual_seed(0)

    def leaf(values, scale=1.0):
        return (values + amount * scale * torch.randn(values.shape, generator=generator)).requires_grad_()

    parameters = HandParameters(**{name: leaf(value) for name, value in vars(estimate.parameters).items()})
    light = Light(leaf(estimate.light.ambient), leaf(estimate.light.color), estimate.light.direction)
    return replace(
        estimate,
        light=light,
        parameters=parameters,
        root_px=leaf(estimate.root_px, 30),
        scale_px_per_m=leaf(estimate.scale_px_per_m, 50),
    )


@pytest.mark.parametrize("name", COMPARING)
def test_the_truth_costs_nothing(name, make_inputs):
    assert float(loss_of(name, make_inputs(rendered=True, start=True)).detach()) < 2e-5


@pytest.mark.parametrize("name", sorted(set(OF_HANDS) - {"perceptual"}))
def test_a_wrong_hand_costs_and_has_a_finite_gradient(name, make_inputs, estimate):
    far = moved(estimate, 1.0 if name == "joint_limits" else 0.1)
    loss = loss_of(name, make_inputs(far, rendered=True, start="start" in TERMS[name].requires))
    loss.backward()
    leaves = [*vars(far.parameters).values(), far.root_px, far.scale_px_per_m, far.light.ambient, far.light.color]
    gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
    assert float(loss.detach()) > 0
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("name", sorted(name for name, row in OF_HANDS.items() if row.labels))
def test_a_sample_without_the_label_counts_nothing(name, make_inputs, estimate):
    inputs = make_inputs(moved(estimate), rendered=True)
    for label in TERMS[name].labels:
        inputs.present[label] = torch.tensor([True, False, True])
        inputs.labels[label] = inputs.labels[label].clone()
        inputs.labels[label][1] = 0.0
    ratio = TERMS[name].function(inputs)
    assert ratio.total[1] == 0
    assert ratio.weight[1] == 0
    assert ratio.weight[0] > 0


def test_a_loss_of_parts_is_the_loss_of_the_whole(make_inputs, estimate):
    inputs = make_inputs(moved(estimate))
    inputs.labels["keypoints_confidence"][1] = 0.2
    whole = TERMS["keypoints_2d"].function(inputs)
    total, weight = whole.total.detach(), whole.weight
    parts = [(float(total[b]), float(weight[b])) for b in range(3)]
    assert sum(t for t, _ in parts) / sum(w for _, w in parts) == pytest.approx(float(total.sum() / weight.sum()))


def test_the_robust_distance_by_hand():
    distance = torch.tensor([0.0, 1.0, 5.0, 8.0])
    assert torch.allclose(robust(distance), torch.tensor([0.0, 0.1, 2.5, 5.5]))


def test_keypoints_by_hand(make_inputs):
    """One wrist 8 px off at 224 px, all others right: 5.5 (2c)^2 over (2c)^2 + 5 (1.5c)^2 + 15 c^2."""
    inputs = make_inputs()
    inputs.labels["keypoints_px"] = inputs.prediction.joints_px.clone()
    inputs.labels["keypoints_px"][:, 0, 0] += 8.0 * inputs.image.shape[-1] / 224
    assert float(loss_of("keypoints_2d", inputs)) == pytest.approx(5.5 * 4 / (4 + 5 * 2.25 + 15), rel=1e-4)


def test_bone_directions_are_unit_vectors_from_parent_to_child():
    joints = torch.zeros(1, 21, 3)
    joints[0, 1] = torch.tensor([0.0, 0.03, 0.0])
    directions = bone_directions(joints, eps=0.0)
    assert torch.allclose(directions[0, 0], torch.tensor([0.0, 1.0, 0.0]))


def test_the_bone_prior_measures_the_proximal_phalanx_of_the_middle_finger(make_inputs):
    inputs = make_inputs()
    expected = (bone_length(inputs.prediction.hand.joints) - MEAN_BONE_M).abs().mean()
    assert torch.allclose(loss_of("bone_length_prior", inputs), expected)


def test_aligned_joints_are_the_metric_and_blind_to_turn_place_and_size(make_inputs, estimate):
    inputs = make_inputs(moved(estimate))
    joints = inputs.prediction.hand.joints.detach()
    found = loss_of("joints_aligned", inputs)
    expected = pa_mpjpe(joints, inputs.labels["joints_cam"]).mean()
    assert float(found.detach()) == pytest.approx(float(expected), rel=1e-4)
    turned = 1.7 * joints @ roma.rotvec_to_rotmat(torch.tensor([0.4, -1.0, 2.0])).mT + torch.tensor([0.1, 0.0, 0.5])
    hand = replace(inputs.prediction.hand, joints=turned)
    other = replace(inputs, prediction=replace(inputs.prediction, hand=hand))
    assert float(loss_of("joints_aligned", other)) == pytest.approx(float(found.detach()), rel=1e-4)


def test_image_distances_do_not_depend_on_the_size_of_the_crop(make_inputs, estimate):
    """The same relative error costs the same in a crop of twice the pixels."""
    inputs = make_inputs(moved(estimate))
    double = replace(
        inputs,
        prediction=replace(inputs.prediction, joints_px=2 * inputs.prediction.joints_px),
        labels={**inputs.labels, "joints_px": 2 * inputs.labels["joints_px"]},
        image=torch.zeros(3, 3, 96, 96),
    )
    assert torch.allclose(loss_of("joints_2d", inputs), loss_of("joints_2d", double))


def test_the_pose_prior_leaves_the_global_rotation_alone(make_inputs, estimate):
    turned = replace(estimate.parameters, global_orient=estimate.parameters.global_orient + 1.0)
    a, b = make_inputs(), make_inputs(replace(estimate, parameters=turned))
    assert torch.equal(loss_of("pose_prior", a), loss_of("pose_prior", b))


def test_only_the_depth_of_joints_is_held_to_the_start(make_inputs, estimate):
    inputs = make_inputs(moved(estimate), start=True)
    own, start = inputs.prediction.joints_cam, inputs.placed_start.joints_cam
    expected = (own - start)[..., 2].abs().mean(dim=1)
    assert torch.allclose(TERMS["start_depth"].function(inputs).total, expected)
    with pytest.raises(ValueError, match="the estimate of the run's starting network: missing"):
        TERMS["start_depth"].function(replace(inputs, start=None))


@pytest.mark.parametrize("name", ["pose_prior", "shape_prior", "texture_prior"])
def test_priors_pull_to_the_mean_or_to_the_start(name, make_inputs, estimate):
    assert float(loss_of(name, make_inputs(rendered=True))) > 0
    assert float(loss_of(name, make_inputs(rendered=True, start=True))) == 0
    assert float(loss_of(name, make_inputs(moved(estimate), rendered=True, start=True)).detach()) > 0


def test_the_mean_colour_is_compared_per_sample(make_inputs):
    """Two samples whose errors cancel in the mean of the batch still cost."""
    inputs = make_inputs(rendered=True)
    shift = torch.tensor([0.1, -0.1, 0.0]).view(3, 1, 1, 1)
    assert float(loss_of("mean_color", replace(inputs, image=inputs.image + shift))) == pytest.approx(
        0.02 / 3, rel=1e-3
    )


def test_photometric_terms_look_only_into_the_region(make_inputs):
    inputs = make_inputs(rendered=True)
    outside = torch.where(inputs.region[:, None] > 0, inputs.image, 1 - inputs.image)
    for name in ("photometric", "mean_color"):
        assert float(loss_of(name, replace(inputs, image=outside))) < 1e-6


def test_an_outline_gives_the_hand_a_direction(make_inputs, estimate):
    """A hand 3 px to the right of its mask is pulled to the left: the original's silhouette had no gradient."""
    root_px = (estimate.root_px + torch.tensor([3.0, 0.0])).requires_grad_()
    inputs = make_inputs(replace(estimate, root_px=root_px), rendered=True)
    for name in ("silhouette", "iou"):
        (gradient,) = torch.autograd.grad(loss_of(name, inputs), root_px, retain_graph=True)
        assert (gradient[:, 0] > 0).all()


def test_region_mean_and_composite_by_hand():
    image = torch.arange(12.0).view(1, 3, 2, 2)
    region = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    assert torch.equal(region_mean(image, region), torch.tensor([[1.5, 5.5, 9.5]]))
    assert torch.equal(composite(image, -image, region)[0, 0], torch.tensor([[0.0, -1.0], [-2.0, 3.0]]))


def test_ssim_against_scikit_image():
    from skimage.metrics import structural_similarity

    generator = torch.Generator().manual_seed(0)
    a = torch.rand(1, 1, 32, 32, generator=generator)
    b = (a + 0.1 * torch.rand(1, 1, 32, 32, generator=generator)).clamp(0, 1)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0, "full": True}
    expected = structural_similarity(a[0, 0].numpy(), b[0, 0].numpy(), **options)[1]
    ours = ssim_map(a, b)[0, 0].numpy()
    assert abs(ours - expected)[5:-5, 5:-5].max() < 1e-5


def test_soft_iou_of_halves():
    a, b = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    a[0, 0], b[0, :, 0] = 1.0, 1.0
    assert float(soft_iou(a, b)) == pytest.approx(1 / 3)
    assert float(soft_iou(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))) == 0.0


def test_laplacian_of_a_path():
    vertices = torch.tensor([[[0.0, 0, 0], [1, 1, 0], [2, 0, 0], [9, 9, 9]]])
    offsets = laplacian_offsets(vertices, torch.tensor([[0, 1], [1, 2]]))
    assert torch.equal(offsets[0, 1], torch.tensor([0.0, 1.0, 0.0]))
    assert torch.equal(offsets[0, 3], torch.zeros(3))


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="joints_3d"):
        term("joints_3d")(lambda inputs: None)
