"""Read MANO pickles: the official form, re-pickled ones, and files that are rejected without writing anything."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from hifihr_core.errors import AssetError, UnsafePickleError
from hifihr_core.hands import load_hand
from hifihr_core.hands.mano.arrays import load_mano_data
from hifihr_core.hands.mano.convert import KNOWN_MD5, convert_mano, convert_mano_left, read_mano


class Fires:
    def __reduce__(self):
        return os.system, ("touch fired",)


def plain(arrays, **changes):
    """The same model, re-pickled by a tool that turned everything into plain arrays."""
    dense = {"J_regressor": arrays["J_regressor"].toarray(), "shapedirs": arrays["shapedirs"][:, :, :10]}
    return {**arrays, **dense, **changes}


def write(content, path):
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, 2))
    return path


def refuse(content, tmp_path, message, *, error=AssetError, convert=convert_mano):
    source, target = write(content, tmp_path / "MANO_RIGHT.pkl"), tmp_path / "mano.npz"
    with pytest.raises(error, match=message) as caught:
        convert(source, target)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["MANO_RIGHT.pkl"]


def test_the_official_form(mano_pickle, make_fake_mano):
    data, arrays = read_mano(mano_pickle, "right"), make_fake_mano()
    np.testing.assert_array_equal(data.template, arrays["v_template"])
    np.testing.assert_array_equal(data.shape_basis, arrays["shapedirs"][:, :, :10])
    np.testing.assert_allclose(data.joint_regressor, arrays["J_regressor"].toarray())
    np.testing.assert_array_equal(data.faces, arrays["f"])
    poses = arrays["hands_coeffs"] @ arrays["hands_components"] + arrays["hands_mean"]
    np.testing.assert_allclose(data.pose_limits, np.stack((poses.min(0), poses.max(0)), 1))
    assert (data.side, len(data.md5)) == ("right", 32)


@pytest.mark.parametrize("variant", ["plain", "csr", "float32", "protocol 5"])
def test_repickled_files_give_the_same_hand(variant, mano_pickle, make_fake_mano, tmp_path):
    arrays = plain(make_fake_mano())
    if variant == "csr":
        arrays["J_regressor"] = scipy.sparse.csr_matrix(arrays["J_regressor"])
    if variant == "float32":
        arrays["v_template"] = arrays["v_template"].astype(np.float32)
    path = tmp_path / "again.pkl"
    path.write_bytes(pickle.dumps(arrays, 5 if variant == "protocol 5" else 2))
    again, data = read_mano(path, "right"), read_mano(mano_pickle, "right")
    for name in ("template", "shape_basis", "joint_regressor", "weights"):
        np.testing.assert_allclose(getattr(again, name), getattr(data, name), atol=1e-8)
    assert again.md5 != data.md5


def test_round_trip_through_the_cache_file(mano_pickle, mano_path):
    data, loaded = read_mano(mano_pickle, "right"), load_mano_data(mano_path)
    for name, value in vars(data).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)


def mirrored(arrays):
    """The left hand as shipped by MANO's authors: everything is mirrored except the x of the shape basis."""
    sign, turn = np.array([-1.0, 1, 1]), np.tile([1.0, -1, -1], 15)
    features = np.tile(np.outer(sign, sign).ravel(), 15)
    return {
        **arrays,
        "v_template": arrays["v_template"] * sign,
        "posedirs": arrays["posedirs"] * sign[:, None] * features,
        "hands_mean": arrays["hands_mean"] * turn,
        "hands_components": arrays["hands_components"] * turn,
        "f": arrays["f"][:, ::-1],
        "shapedirs": arrays["shapedirs"] * np.array([1.0, 1, 1])[:, None],
    }


def test_left_hand_and_its_shape_fault(make_fake_mano, write_mano, tmp_path, mano_pickle):
    """Whether corrected in the file or not, the left shape basis is the mirror image of the right one."""
    left = mirrored(make_fake_mano())
    corrected = {**left, "shapedirs": left["shapedirs"] * np.array([-1.0, 1, 1])[:, None]}
    right = read_mano(mano_pickle, "right")
    for number, arrays in enumerate((left, corrected)):
        data = read_mano(write_mano(arrays, tmp_path / f"{number}.pkl"), "left")
        np.testing.assert_array_equal(data.shape_basis, right.shape_basis * np.array([-1.0, 1, 1])[:, None])
        assert data.side == "left"


def test_left_where_right_is_asked(make_fake_mano, tmp_path):
    refuse(plain(mirrored(make_fake_mano())), tmp_path, "MANO's left hand, expected the right one; import MANO_RIGHT")


def test_right_where_left_is_asked(make_fake_mano, tmp_path):
    refuse(plain(make_fake_mano()), tmp_path, "MANO's right hand, expected the left", convert=convert_mano_left)


def test_known_hash_of_the_other_side(make_fake_mano, tmp_path, monkeypatch):
    content = pickle.dumps(plain(make_fake_mano()), 2)
    import hashlib

    known = {**KNOWN_MD5, hashlib.md5(content, usedforsecurity=False).hexdigest(): "left"}
    monkeypatch.setattr("hifihr_core.hands.mano.convert.KNOWN_MD5", known)
    refuse(content, tmp_path, "MANO's left hand")


@pytest.mark.parametrize("cut", [0, 1, 1000, 500_000])
def test_truncated(mano_pickle, tmp_path, cut):
    refuse(mano_pickle.read_bytes()[:cut], tmp_path, "not a readable pickle")


@pytest.mark.parametrize("place", ["J_regressor", "shapedirs", "extra"])
def test_malicious(make_fake_mano, tmp_path, place, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refuse(plain(make_fake_mano(), **{place: Fires()}), tmp_path, r"system", error=UnsafePickleError)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"v_template": np.zeros((777, 3))}, r"v_template has shape \(777, 3\), expected \(778, 3\)"),
        ({"v_template": np.full((778, 3), np.nan)}, "v_template contains NaN"),
        ({"weights": np.ones((778, 16))}, "skin weights that sum to 1"),
        ({"J_regressor": np.ones((16, 778))}, "joint regressor rows that sum to 1"),
        ({"f": np.full((1538, 3), 778)}, "face indices"),
        ({"kintree_table": np.zeros((2, 16), int)}, "MANO's parent of every joint"),
        ({"shapedirs": np.zeros((778, 3, 5))}, r"shapedirs has shape"),
        (
            {"hands_coeffs": np.zeros((0, 45))},
            r"hands_coeffs has shape \(0, 45\), expected \(N, 45\) with N at least 1",
        ),
        ({"shapedirs": np.ones(())}, r"shapedirs has shape \(1,\)"),
        ({"posedirs": "text"}, "posedirs cannot be read as an array"),
        ({"J_regressor": None}, "J_regressor cannot be read as an array"),
    ],
)
def test_wrong_contents(make_fake_mano, tmp_path, changes, message):
    refuse(plain(make_fake_mano(), **changes), tmp_path, message)


def test_millimetres(make_fake_mano, tmp_path):
    arrays = plain(make_fake_mano())
    refuse({**arrays, "v_template": 1000 * arrays["v_template"]}, tmp_path, "a hand 0.1 to 0.3 m long")


def test_another_pickle(tmp_path):
    refuse([1, 2], tmp_path, "its content has type list, expected the dict")
    refuse({"v_template": 1}, tmp_path, "lacks the entries posedirs")


def test_a_sparse_matrix_with_indices_outside(make_fake_mano, write_mano, tmp_path):
    arrays = make_fake_mano()
    arrays["J_regressor"].indices[3] = 99
    refuse(write_mano(arrays, tmp_path / "MANO_RIGHT.pkl").read_bytes(), tmp_path, "J_regressor cannot be read")


def test_missing_file(tmp_path):
    with pytest.raises(AssetError, match=r"expected MANO_RIGHT\.pkl"):
        convert_mano(tmp_path / "none.pkl", tmp_path / "out.npz")


@pytest.mark.parametrize("damage", ["half", "text", "other format", "unknown entry", "missing entry", "pickle"])
def test_damaged_cache_file(mano_path, tmp_path, damage):
    path = tmp_path / "mano.npz"
    entries = dict(np.load(mano_path))
    if damage == "half":
        path.write_bytes(mano_path.read_bytes()[: os.path.getsize(mano_path) // 2])
    elif damage == "text":
        path.write_text("hello")
    elif damage == "pickle":
        np.savez(path, **{**entries, "template": np.array([Fires()], dtype=object)})
    else:
        changes = {"other format": {"format": "mano 0"}, "unknown entry": {"more": 1}, "missing entry": {}}[damage]
        entries = entries if damage != "missing entry" else {k: v for k, v in entries.items() if k != "weights"}
        np.savez(path, **{**entries, **changes})
    with pytest.raises(AssetError, match="assets import mano-right"):
        load_hand("mano", path=path)


@pytest.mark.skipif("HIFIHR_TEST_MANO" not in os.environ, reason="HIFIHR_TEST_MANO names no MANO_RIGHT.pkl")
def test_the_real_file(tmp_path):
    """The documented hash, and the documented distance between the two joint definitions at the mean pose."""
    source = Path(os.environ["HIFIHR_TEST_MANO"])
    convert_mano(source, tmp_path / "mano.npz")
    assert KNOWN_MD5[load_mano_data(tmp_path / "mano.npz").md5] == "right"
    hands = [load_hand("mano", path=tmp_path / "mano.npz", joints=name, centred=False) for name in ("freihand", "ho3d")]
    joints = [hand(hand.mean_parameters()).joints for hand in hands]
    bases = [0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19]
    distance_mm = 1000 * torch.linalg.vector_norm(joints[0] - joints[1], dim=-1)[0, bases]
    assert 3.5 < distance_mm.mean() < 4.5
    assert 6.4 < distance_mm.max() < 7.4
