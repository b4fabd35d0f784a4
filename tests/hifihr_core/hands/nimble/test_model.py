"""NIMBLE on made-up numbers in its schema: a slow twin, joints, texture, chart, and files that must be rejected."""

import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from hifihr_core.errors import AssetError, UnsafePickleError
from hifihr_core.hands import HandParameters, load_hand
from hifihr_core.hands.nimble.arrays import load_nimble_data
from hifihr_core.hands.nimble.convert import convert_nimble
from hifihr_core.skeleton import ROOT

NAMES = ("NIMBLE_DICT_9137.pkl", "NIMBLE_TEX_DICT.pkl", "NIMBLE_MANO_VREG.pkl", "NIMBLE_TEX_FUV.pkl")
#: Joint that each of the 20 bones turns, and the parents of the 25 joints.
BONES = (0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18, 20, 21, 22, 23)
PARENTS = [-1 if j == 0 else 0 if j in (1, 5, 10, 15, 20) else j - 1 for j in range(25)]


class Fires:
    def __reduce__(self):
        return os.system, ("touch fired",)


@pytest.fixture(scope="module")
def load(nimble_path, mano_path):
    def build(**options):
        return load_hand("nimble", path=nimble_path, mano_path=mano_path, dtype=torch.float64, **options)

    return build


def draw(seed, pose_dim=30, batch=2):
    generator = torch.Generator().manual_seed(seed)
    sizes = (3, pose_dim, 20, 10)
    return HandParameters(*(0.5 * torch.randn(batch, n, generator=generator, dtype=torch.float64) for n in sizes))


def slow_nimble(contents, parameters, count=30):
    """The first hand as posed by the authors' layer: all vertices, millimetres, one joint after the other."""
    model, _, registration, _ = contents
    part = {name: t.squeeze(0).double() for name, t in model.items() if torch.is_tensor(t) and t.ndim > 1}
    betas = parameters.shape[0] * part["shape_pm_std"][:20] + part["shape_pm_mean"][:20]
    total = part["vert"].shape[0]
    shaped = part["vert"] + (betas @ part["shape_basis"][:20]).reshape(total, 3)
    rest = part["jreg_bone"] @ shaped[: model["bone_v_sep"]]
    coefficients = parameters.pose[0] * part["pose_pm_std"][:count] + part["pose_pm_mean"][:count]
    vectors = torch.cat((parameters.global_orient[0], coefficients @ part["pose_basis"][:count] + part["pose_mean"]))
    turns = dict(zip(BONES, map(turn, vectors.reshape(20, 3)), strict=True))
    bends = torch.cat([(turns[joint] - torch.eye(3)).flatten() for joint in BONES[1:]])
    points = shaped + part["all_pbs"] @ bends
    motions = []
    for j, parent in enumerate(PARENTS):
        about, rotation = torch.eye(4, dtype=torch.float64), turns.get(j, torch.eye(3, dtype=torch.float64))
        about[:3, :3], about[:3, 3] = rotation, rest[j] - rotation @ rest[j]
        motions.append(about if parent < 0 else motions[parent] @ about)
    motions = torch.stack(motions)[:, :3]
    posed = torch.einsum("vj,jrc,vc->vr", part["all_sw"], motions[..., :3], points) + part["all_sw"] @ motions[..., 3]
    joints = torch.einsum("jrc,jc->jr", motions[..., :3], rest) + motions[..., 3]
    skin = posed[model["skin_v_sep"] :]
    corners = skin[part["skin_f"].long()[registration["lmk_faces_idx"]]]
    mano = (corners * registration["lmk_bary_coords"].double()[..., None]).sum(2).mean(0)
    return skin, joints, mano


def turn(vector):
    x, y, z = vector
    zero = torch.zeros_like(x)
    cross = [torch.stack([zero, -z, y]), torch.stack([z, zero, -x]), torch.stack([-y, x, zero])]
    return torch.linalg.matrix_exp(torch.stack(cross))


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_slow_twin_in_metres(load, make_fake_nimble, seed):
    parameters = draw(seed)
    hand = load(joints="ho3d")(parameters)
    skin, joints, mano = (part / 1000 for part in slow_nimble(make_fake_nimble(), parameters))
    root = joints[11]  # the middle MCP is NIMBLE's pro3
    torch.testing.assert_close(hand.vertices[0], skin - root, rtol=0, atol=1e-7)
    torch.testing.assert_close(hand.mano_vertices[0], mano - root, rtol=0, atol=1e-7)
    chain = [0, 1, 2, 3, 6, 7, 8, 11, 12, 13, 16, 17, 18, 21, 22, 23]
    places = [0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19]
    torch.testing.assert_close(hand.joints[0, places], joints[chain] - root, rtol=0, atol=1e-7)
    torch.testing.assert_close(hand.joints[:, [4, 8, 12, 16, 20]], hand.mano_vertices[:, [744, 333, 444, 555, 672]])


def test_freihand_joints_come_from_the_mano_surface(load, make_fake_mano):
    hand = load()(draw(2))
    regressor = torch.from_numpy(make_fake_mano()["J_regressor"].toarray())
    regressed = torch.einsum("jv,bvc->bjc", regressor, hand.mano_vertices)
    torch.testing.assert_close(hand.joints[:, [0, 1, 5, 9, 13, 17]], regressed[:, [0, 13, 1, 4, 10, 7]])
    torch.testing.assert_close(hand.joints[:, [4, 8, 12, 16, 20]], hand.mano_vertices[:, [744, 320, 443, 555, 672]])
    assert hand.joints[:, ROOT].abs().max() < 1e-12


def test_the_pose_of_the_authors_checkpoints(load, make_fake_nimble):
    """Their 30 numbers are 3 of the rotation and 27 coefficients."""
    pose = torch.randn(1, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parameters = HandParameters(pose[:, :3], pose[:, 3:], torch.zeros(1, 20, dtype=torch.float64))
    model = load(num_components=27, joints="ho3d")
    assert model.pose_dim == 27
    skin, joints, _ = (part / 1000 for part in slow_nimble(make_fake_nimble(), parameters, count=27))
    torch.testing.assert_close(model(parameters).vertices[0], skin - joints[11], rtol=0, atol=1e-7)


def test_axis_angle_equals_pca(load):
    parameters, model = draw(3), load()
    angles = model.axis_angles(parameters.pose)
    two = load(pose_basis="axis_angle")
    assert two.pose_dim == 57
    torch.testing.assert_close(two(replace(parameters, pose=angles)).vertices, model(parameters).vertices)


def test_texture(load, make_fake_nimble):
    """B, G, R texels in rows from the top become RGB maps; standard deviations standardise the coefficients."""
    model, parameters = load(), draw(4)
    maps = make_fake_nimble()[1]["diffuse"]
    texels = maps["mean"] + maps["basis"][:, :10] @ (parameters.texture[1].float() * maps["std"][:10])
    expected = texels.reshape(8, 8, 3).clamp(0, 1)[..., [2, 1, 0]].permute(2, 0, 1)
    appearance = model(parameters).appearance
    torch.testing.assert_close(appearance.albedo[1].float(), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(model.albedo(parameters.texture, slice(2, 5)), appearance.albedo[:, :, 2:5])
    small = load(texture_px=4).texture_basis
    torch.testing.assert_close(small, model.texture_basis.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean((3, 5)))
    with pytest.raises(ValueError, match="expected a divisor of 8"):
        load(texture_px=3)


def test_chart_follows_the_faces(load):
    """Corner c of face f is at uvs[faces_uvs[f, c]]; here the position of a vertex encodes its index."""
    model = load()
    u, v = model.uvs[model.faces_uvs].unbind(-1)
    numbers = (torch.round((v - 0.05) / 0.9 * 499) * 10 + torch.round((u - 0.1) / 0.08)).long()
    assert torch.equal(numbers, model.faces)
    assert len(model.uvs) == 4990  # repeated points were merged


def test_interior_vertices(load):
    model = load()
    assert model.num_vertices == 5990
    assert len(model.surface) == 4990
    assert int(model.faces.max()) < 4990


def test_tensor_chart_of_the_fork(nimble_folder, tmp_path, make_fake_nimble):
    for name in NAMES[:3]:
        (tmp_path / name).symlink_to(nimble_folder / name)
    with pytest.raises(AssetError, match="no texture chart"):
        convert_nimble(tmp_path, tmp_path / "out.npz")
    faces = make_fake_nimble()[0]["skin_f"]
    torch.save(faces, tmp_path / "faces_uvs.pt")
    torch.save(torch.rand(1, 5330, 2), tmp_path / "verts_uvs.pt")
    convert_nimble(tmp_path, tmp_path / "out.npz")
    np.testing.assert_array_equal(load_nimble_data(tmp_path / "out.npz").faces_uvs, faces[0].numpy())


@pytest.mark.parametrize("basis", ["pca", "axis_angle"])
def test_prior(load, basis):
    model = load(pose_basis=basis)
    prior = model.pose_prior()
    z = torch.randn(2, len(prior.basis), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(z @ prior.basis @ prior.whiten, z)
    hand = model(model.mean_parameters())
    torch.testing.assert_close(hand.vertices, load()(load().mean_parameters()).vertices)
    drawn = model.sample_parameters(16, generator=torch.Generator().manual_seed(1))
    assert ((drawn.pose >= prior.limits[:, 0].float()) & (drawn.pose <= prior.limits[:, 1].float())).all()


def test_gradients_reach_every_parameter(load):
    tensors = [tensor.requires_grad_() for tensor in vars(draw(5, batch=1)).values()]
    hand = load()(HandParameters(*tensors))
    (hand.joints.square().sum() + hand.mano_vertices.sum() + hand.appearance.albedo.square().sum()).backward()
    assert all(tensor.grad.abs().sum() > 0 for tensor in tensors)


def test_gradcheck_of_the_mano_surface(load):
    model, parameters = load(num_components=2), draw(6, pose_dim=2, batch=1)

    def total(pose, orient):
        return model(replace(parameters, pose=pose, global_orient=orient, texture=None)).joints[:, ::4].square().sum()

    inputs = (parameters.pose.requires_grad_(), parameters.global_orient.requires_grad_())
    assert torch.autograd.gradcheck(total, inputs)


def test_without_mano(nimble_path, monkeypatch, tmp_path):
    monkeypatch.setenv("HIFIHR_HOME", str(tmp_path))
    with pytest.raises(AssetError, match="needs MANO's joint regressor"):
        load_hand("nimble", path=nimble_path)
    assert load_hand("nimble", path=nimble_path, joints="ho3d").joint_definition == "ho3d"
    with pytest.raises(AssetError, match="nimble: not installed"):
        load_hand("nimble")


def refuse(contents, folder, message, *, error=AssetError, names=NAMES):
    for name, content in zip(names, contents, strict=True):
        (folder / name).write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, 4))
    with pytest.raises(error, match=message) as caught:
        convert_nimble(folder, folder / "out.npz")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def altered(contents, which, changes):
    return [{**part, **changes(part)} if k == which else part for k, part in enumerate(contents)]


@pytest.mark.parametrize(
    ("which", "changes", "message"),
    [
        (0, lambda d: {"vert": d["vert"][:, :-1]}, "skin_v_sep gives|shape_basis has shape"),
        (0, lambda d: {"skin_v_sep": -5000}, "skin_v_sep gives 5000 skin vertices"),
        (0, lambda d: {"skin_f": d["skin_f"] + 2000}, "skin_f has vertices"),
        (0, lambda d: {"vert": d["vert"] / 1000}, "expected 0.1 to 0.3 m from a file in millimetres"),
        (0, lambda d: {"vert": d["vert"] * float("nan")}, "vert contains NaN"),
        (0, lambda d: {"all_sw": d["all_sw"] * 2}, "do not sum to 1"),
        (0, lambda d: {"pose_basis": d["pose_basis"][..., :45]}, "pose_basis has shape"),
        (0, lambda d: {"jreg_bone": "text"}, "jreg_bone has dtype"),
        (1, lambda d: {"diffuse": None}, "the entry diffuse has type NoneType, expected a dict"),
        (
            0,
            lambda d: {"skin_f": d["skin_f"][:, :0]},
            r"skin_f has shape \(0, 3\), expected \(N, 3\) with N at least 1",
        ),
        (0, lambda d: {"skin_v_sep": [1, 2]}, r"skin_v_sep has shape \(2,\), expected a single number"),
        (1, lambda d: {"diffuse": {"mean": d["diffuse"]["mean"]}}, "the entry diffuse has no entry std"),
        (1, lambda d: {"diffuse": {**d["diffuse"], "mean": torch.rand(100)}}, "expected 3 per texel of a square map"),
        (2, lambda d: {"lmk_bary_coords": d["lmk_bary_coords"] * 1.1}, "lmk_bary_coords do not sum to 1"),
        (2, lambda d: {"lmk_faces_idx": d["lmk_faces_idx"] + 99999}, "lmk_faces_idx has .* of faces"),
    ],
)
def test_wrong_contents(make_fake_nimble, tmp_path, which, changes, message):
    refuse(altered(make_fake_nimble(), which, changes), tmp_path, message)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["vt 0.1 0.2", "f 1/1/1 2/1/1 3/1/1"], r"its faces \(1\) differ from those in skin_f \(\d+\)"),
        (["vt a b"], "not a valid OBJ file"),
        (["vt 0.1 0.2", "f 1/9/1 2/1/1 3/1/1"], "its corners refer to UV points 0 to 8, expected 0 to 0"),
        (["vt 0.1 nan", "f 1/1/1 2/1/1 3/1/1"], "a UV point is outside .* or not finite"),
        ([], "it has 0 faces and 0 UV points, expected at least one of each"),
    ],
)
def test_wrong_chart(make_fake_nimble, tmp_path, lines, message):
    refuse([*make_fake_nimble()[:3], lines], tmp_path, message)


def test_malicious(make_fake_nimble, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    contents = make_fake_nimble()
    refuse(altered(contents, 1, lambda d: {"more": Fires()}), tmp_path, "system", error=UnsafePickleError)


def test_malicious_inside_a_tensor(make_fake_nimble, tmp_path, monkeypatch):
    """The bytes of a tensor's storage are a separate pickle."""
    monkeypatch.chdir(tmp_path)

    class Storage:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (pickle.dumps(Fires(), 2),)

    contents = altered(make_fake_nimble(), 0, lambda d: {"pose_mean": Storage()})
    refuse(contents, tmp_path, "damaged or refers to more than plain data", error=UnsafePickleError)


def test_truncated(make_fake_nimble, tmp_path):
    contents = list(make_fake_nimble())
    contents[2] = pickle.dumps(contents[2])[:-200]
    refuse(contents, tmp_path, r"NIMBLE_MANO_VREG\.pkl: not a readable pickle")


def test_missing_files(tmp_path):
    with pytest.raises(AssetError, match=r"NIMBLE_DICT_9137\.pkl is missing"):
        convert_nimble(tmp_path, tmp_path / "out.npz")
