"""Sources: downloads in the real formats are converted to our frame, units and joint order, exact to float32."""

import json

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hifihr_core.errors import AssetError, ConfigError, DataError
from hifihr_core.shards import pictures
from hifihr_core.shards.folder import ShardSet
from hifihr_core.shards.packing import Policy, pack_split
from hifihr_core.shards.schema import Problem
from hifihr_core.sources import cutting, mano_checks
from hifihr_core.sources.contract import Request
from hifihr_core.sources.dart import DISTANCE_M
from hifihr_core.sources.rhd import choose_side
from hifihr_core.sources.table import SOURCES, find_source


def pack(name, root, out, **options):
    """Pack every split of a source and return its sets by split."""
    splits = find_source(name).open(Request(root, **options))
    return {s.facts.split: ShardSet(out / s.facts.split) for s in splits if pack_split(s, out / s.facts.split)}


def states(name, root):
    return {part.path: part.state for part in find_source(name).inspect(Request(root))}


def f32(values):
    return np.asarray(values).astype(np.float32)


def reprojection_error(sample):
    return np.abs(cutting.project(sample.labels["joints_cam"], sample.K) - sample.labels["joints_px"]).max()


def mask_of(sample):
    return pictures.decode(sample.mask, flags=cv2.IMREAD_GRAYSCALE) > 127


@pytest.fixture(scope="module")
def tree(raw_trees, tmp_path_factory):
    """A FreiHAND download in two roots, and its lists."""
    root = tmp_path_factory.mktemp("freihand")
    return root, raw_trees.write_freihand(root / "raw/main", evaluation_root=root / "raw/late/deep")


class TestFreihand:
    def test_all_values_are_those_of_the_download(self, tree, tmp_path):
        root, lists = tree
        sets = pack("freihand", root / "raw", tmp_path)
        assert {name: len(found) for name, found in sets.items()} == {"train": 24, "evaluation": 3}
        for split, folder, versions in (("train", "training", 4), ("evaluation", "evaluation", 1)):
            for position, sample in enumerate(sets[split]):
                pose, version = divmod(position, versions)
                number = pose + version * 6
                assert sample.key == f"{('gs', 'hom', 'sample', 'auto')[version]}/{number:08d}"
                assert sample.annotation == f"{pose:08d}"
                assert sample.image == (root / "raw/main" / folder / "rgb" / f"{number:08d}.jpg").read_bytes()
                given = {name: f32(values[pose]) for name, values in lists[folder].items()}
                assert np.array_equal(sample.K, given["K"])
                assert np.array_equal(sample.labels["joints_cam"], given["xyz"])
                assert np.array_equal(sample.labels["mano_vertices_cam"], given["verts"])
                assert np.array_equal(sample.labels["root_cam"], given["xyz"][9])
                assert sample.labels["bone_m"] == given["scale"]
                assert reprojection_error(sample) < 1e-4
                assert "pose" not in sample.labels  # the vertices of this tree are not MANO's
                centre = sample.labels["joints_px"].mean(axis=0).astype(int)
                assert mask_of(sample)[centre[1], centre[0]]
                assert 0.1 < mask_of(sample).mean() < 0.3

    def test_mano_parameters_come_with_real_vertices(self, tree, raw_trees, tmp_path):
        root, lists = tree
        (split, _) = find_source("freihand").open(Request(root / "raw", limit=2))
        split.marker = type(split.marker)(synthetic=True, stand_in_vertices=False)
        split.stage(tmp_path)
        sample = next(iter(split.read(0, 1)))
        numbers = f32(lists["training"]["mano"][0][0])
        assert np.array_equal(
            np.concatenate([sample.labels[n] for n in ("global_orient", "pose", "shape")]), numbers[:58]
        )

    def test_zips_give_the_same_shards(self, tree, raw_trees, tmp_path):
        root, _ = tree
        raw_trees.zip_folder(root / "raw/main", tmp_path / "raw/a/FreiHAND_pub_v2.zip", prefix="FreiHAND/FreiHand/")
        raw_trees.zip_folder(root / "raw/late/deep", tmp_path / "raw/eval.zip", stored=True)
        plain, zipped = (
            pack("freihand", root / "raw", tmp_path / "1"),
            pack("freihand", tmp_path / "raw", tmp_path / "2"),
        )
        for split in plain:
            assert [s.sha256 for s in plain[split].index.shards] == [s.sha256 for s in zipped[split].index.shards]

    def test_without_the_evaluation_zip_there_are_pictures_and_scales(self, raw_trees, tmp_path):
        raw_trees.write_freihand(tmp_path / "raw", evaluation_root=tmp_path / "elsewhere")
        sample = pack("freihand", tmp_path / "raw", tmp_path / "out")["evaluation"][0]
        assert set(sample.labels) == {"bone_m"}
        assert sample.mask is None

    def test_detected_keypoints_belong_to_their_picture(self, raw_trees, tmp_path):
        raw_trees.write_freihand(tmp_path / "raw", training=2, evaluation=0)
        rng = np.random.default_rng(0)
        peaks, values = rng.integers(1, 224, (8, 21, 2)), rng.uniform(0.1, 1, (8, 21, 1))
        peaks[3, 5], values[3, 5] = 0, 0
        names = [[f"{number:08d}.jpg"] for number in (7, 6, 5, 4, 3, 2, 1, 0)]
        target = tmp_path / "raw/outputs/freihand-train_openpose_keypoints.json"
        target.parent.mkdir()
        target.write_text(json.dumps([peaks.tolist(), values.tolist(), names]))
        for sample in pack("freihand", tmp_path / "raw", tmp_path / "out")["train"]:
            row = 7 - int(sample.key[-8:])
            found = values[row, :, 0] > 0
            assert np.array_equal(sample.labels["keypoints_confidence"], f32(values[row, :, 0]))
            assert np.array_equal(sample.labels["keypoints_px"][found], f32(peaks[row][found] + 0.5))
            assert not sample.labels["keypoints_px"][~found].any()

    @pytest.mark.parametrize("versions", [1, 4])
    def test_keypoints_without_names_go_by_their_number(self, raw_trees, tmp_path, versions):
        raw_trees.write_freihand(tmp_path / "raw", training=2, evaluation=0)
        target = tmp_path / "raw/outputs/freihand-train_openpose_keypoints.json"
        target.parent.mkdir()
        count = 2 * versions
        peaks = np.arange(count)[:, None, None] + np.ones((count, 21, 2), int)
        target.write_text(json.dumps([peaks.tolist(), np.ones((count, 21)).tolist()]))
        samples = list(pack("freihand", tmp_path / "raw", tmp_path / "out")["train"])
        assert sum("keypoints_px" in sample.labels for sample in samples) == count
        assert samples[1 if versions == 4 else 4 % len(samples)].labels.keys() >= {"keypoints_px"}
        target.write_text(json.dumps([peaks[:1].tolist(), np.ones((1, 21)).tolist()]))
        with pytest.raises(DataError, match="1 entries without names, expected 2 or 8"):
            pack("freihand", tmp_path / "raw", tmp_path / "again")

    def test_a_list_of_wrong_length_stops_it(self, raw_trees, tmp_path):
        lists = raw_trees.write_freihand(tmp_path / "raw", training=4, evaluation=0)
        (tmp_path / "raw/training_xyz.json").write_text(json.dumps(lists["training"]["xyz"][:3]))
        with pytest.raises(DataError, match=r"training_xyz\.json: 3 entries, expected 4; the download is incomplete"):
            pack("freihand", tmp_path / "raw", tmp_path / "out")

    @pytest.mark.parametrize("content", ["[]", '{"synthetic": true}', "no JSON"])
    def test_a_broken_marker_is_named(self, raw_trees, tmp_path, content):
        raw_trees.write_freihand(tmp_path / "raw", training=2, evaluation=0)
        (tmp_path / "raw/hifihr_synthetic.json").write_text(content)
        with pytest.raises(DataError, match=r"raw/hifihr_synthetic\.json: not .*; generate the dataset again"):
            pack("freihand", tmp_path / "raw", tmp_path / "out")

    def test_a_real_download_must_have_the_official_length(self, raw_trees, tmp_path):
        raw_trees.write_freihand(tmp_path / "raw", training=2, evaluation=0)
        (tmp_path / "raw/hifihr_synthetic.json").unlink()
        with pytest.raises(DataError, match=r"training_K\.json: 2 entries, expected 32,560"):
            pack("freihand", tmp_path / "raw", tmp_path / "out")
        assert states("freihand", tmp_path / "raw")["training/rgb"] == "broken"

    def test_missing_lists_are_named_with_the_place_to_get_them(self, raw_trees, tmp_path):
        raw_trees.write_freihand(tmp_path / "raw", training=2, evaluation=0)
        (tmp_path / "raw/training_verts.json").unlink()
        with pytest.raises(DataError, match=r"training_verts\.json: missing .*download FreiHAND_pub_v2\.zip"):
            pack("freihand", tmp_path / "raw", tmp_path / "out")
        assert states("freihand", tmp_path / "raw")["training_verts.json"] == "missing"
        with pytest.raises(DataError, match="no FreiHAND v2 found"):
            pack("freihand", tmp_path / "raw/training", tmp_path / "out")

    def test_wrong_scales_and_mirrored_hands_fail_the_checks(self, raw_trees, tmp_path):
        lists = raw_trees.write_freihand(tmp_path / "raw", training=3, evaluation=0)["training"]
        (tmp_path / "raw/training_scale.json").write_text(json.dumps([2 * value for value in lists["scale"]]))
        with pytest.raises(
            DataError, match=r"is inconsistent: scale \(`scale` and .* differ by up to .* m, limit 1e-06 m\)"
        ):
            pack("freihand", tmp_path / "raw", tmp_path / "out")
        mirrored = (np.asarray(lists["xyz"]) * (-1, 1, 1)).tolist()
        (tmp_path / "raw/training_xyz.json").write_text(json.dumps(mirrored))
        (tmp_path / "raw/training_scale.json").write_text(json.dumps(lists["scale"]))
        with pytest.raises(DataError, match=r"handedness \(0\.0% of the hands bend like right hands"):
            pack("freihand", tmp_path / "raw", tmp_path / "out")
        millimetres = (np.asarray(lists["xyz"]) * (1, 1, -1)).tolist()
        (tmp_path / "raw/training_xyz.json").write_text(json.dumps(millimetres))
        with pytest.raises(DataError, match=r"reprojection \(0\.00% of the joints"):
            pack("freihand", tmp_path / "raw", tmp_path / "out")


class TestHo3d:
    @pytest.mark.parametrize(("version", "channel"), [("v2", 2), ("v3", 0)])
    def test_frames_come_out_in_our_axes_and_order(self, raw_trees, tmp_path, version, channel):
        given = raw_trees.write_ho3d(tmp_path / "raw/x", version=version, hand_channel=channel)
        sets = pack("ho3d", tmp_path / "raw", tmp_path / "out")
        train, evaluation = sets["train"], sets["evaluation"]
        assert (train.index.facts.version, train.index.facts.joint_definition) == (version, "ho3d")
        assert (train.index.facts.root_joint, evaluation.index.facts.root_joint) == (9, 0)
        assert train.keys == tuple(given["train"]["frames"])
        for number, sample in enumerate(train):
            joints = given["train"]["joints"][number]
            assert np.allclose(sample.labels["joints_cam"], f32(joints), atol=1e-7)
            assert np.allclose(sample.labels["root_cam"], f32(joints[9]), atol=1e-7)
            assert reprojection_error(sample) < 1e-3
            check_crop(sample, raw_trees.project(joints, given["train"]["K"]), raw_trees.picture(number, 640, 480))
            centre = sample.labels["joints_px"].mean(axis=0).astype(int)
            assert mask_of(sample)[centre[1], centre[0]]
            assert mask_of(sample).shape == pictures.decode(sample.image).shape[:2]

    def test_evaluation_frames_know_the_wrist_and_the_published_truth(self, raw_trees, tmp_path):
        given = raw_trees.write_ho3d(tmp_path / "raw")["evaluation"]
        for number, sample in enumerate(pack("ho3d", tmp_path / "raw", tmp_path / "out")["evaluation"]):
            assert np.allclose(sample.labels["root_cam"], f32(given["joints"][number][0]), atol=1e-7)
            assert np.allclose(sample.labels["joints_cam"], f32(given["joints"][number]), atol=1e-7)
            assert np.allclose(sample.labels["mano_vertices_cam"], f32(given["verts"][number]), atol=1e-7)
            box = sample.labels["box_px"].reshape(2, 2)
            points = sample.labels["joints_px"]
            assert np.abs(box - np.stack((points.min(0), points.max(0)))).max() < 1.01  # whole pixels in the meta
            assert sample.mask is None

    def test_without_the_truth_an_evaluation_frame_has_root_and_box(self, raw_trees, tmp_path):
        raw_trees.write_ho3d(tmp_path / "raw", truth=False)
        assert set(pack("ho3d", tmp_path / "raw", tmp_path / "out")["evaluation"][0].labels) == {"root_cam", "box_px"}

    def test_global_rotation_turns_with_the_axes(self, raw_trees, tmp_path):
        given = raw_trees.write_ho3d(tmp_path / "raw")["train"]
        raw_trees.mark(tmp_path / "raw", stand_in=False)
        sample = pack("ho3d", tmp_path / "raw", tmp_path / "out")["train"][0]
        there = Rotation.from_rotvec(given["pose"][0][:3]).as_matrix()
        ours = Rotation.from_rotvec(sample.labels["global_orient"]).as_matrix()
        assert np.allclose(ours, np.diag((1, -1, -1)) @ there, atol=1e-6)
        assert np.array_equal(sample.labels["pose"], f32(given["pose"][0][3:]))

    def test_a_listed_frame_without_annotation_is_a_problem(self, raw_trees, tmp_path):
        raw_trees.write_ho3d(tmp_path / "raw")
        (tmp_path / "raw/train.txt").write_text("ABF10/0000\nABF10/0001\n")
        split = find_source("ho3d").open(Request(tmp_path / "raw"))[0]
        split.stage(tmp_path)
        good, bad = split.read(0, 2)
        assert good.key == "ABF10/0000"
        assert bad == Problem(key="ABF10/0001", reason="handJoints3D is None, expected finite numbers of shape (21, 3)")

    def test_no_channel_with_the_hand_means_no_masks(self, raw_trees, tmp_path):
        raw_trees.write_ho3d(tmp_path / "raw", hand_channel=None)
        train = pack("ho3d", tmp_path / "raw", tmp_path / "out")["train"]
        assert train[0].mask is None
        assert {c.name: c.status for c in train.index.checks}["masks"] == "skipped"

    def test_with_mano_training_frames_carry_vertices_and_their_outline(self, raw_trees, tmp_path, installed_mano):
        given = raw_trees.write_ho3d(tmp_path / "raw", hand_channel=None)["train"]
        raw_trees.mark(tmp_path / "raw", stand_in=False)
        poses, shapes = given["pose"].copy(), np.full((5, 10), 0.1)
        vertices, joints = mano_checks.pose_mano(poses, shapes)
        joints = joints + np.asarray((0, 0, 0.55), np.float32)
        # The file has the same hands in OpenGL's axes: half a turn about x.
        half_turn = Rotation.from_matrix(np.diag((1, -1, -1)))
        for row, frame in enumerate(given["frames"]):
            turned = (half_turn * Rotation.from_rotvec(poses[row, :3])).as_rotvec()
            meta = {
                "camMat": given["K"],
                "handJoints3D": (joints[row] * (1, -1, -1))[list(raw_trees.HO3D_ORDER)],
                "handPose": np.concatenate((turned, poses[row, 3:])),
                "handBeta": shapes[row],
            }
            raw_trees.write_pickle(tmp_path / "raw/train/ABF10/meta" / f"{frame[-4:]}.pkl", meta)
        split = find_source("ho3d").open(Request(tmp_path / "raw"))[0]
        index = pack_split(split, tmp_path / "out", policy=Policy(force=True))  # a mitten's fingers bend nowhere
        found = {check.name: check for check in index.checks}
        assert found["MANO joints"].status == "passed"
        assert "MANO's projected surface" in found["masks"].detail
        for row, sample in enumerate(ShardSet(tmp_path / "out")):
            assert np.allclose(sample.labels["joints_cam"], joints[row], atol=1e-6)
            surface = sample.labels["mano_vertices_cam"]
            assert np.allclose(surface, vertices[row] + joints[row, 9], atol=1e-5)
            mask = mask_of(sample)
            points = cutting.project(surface, sample.K)
            inside = ((points > 1) & (points < (mask.shape[1] - 1, mask.shape[0] - 1))).all(axis=1)
            columns, rows = np.floor(points[inside]).astype(int).T
            assert mask[rows, columns].mean() > 0.98
            assert mask.mean() < 0.6

    def test_segmentations_may_come_in_a_zip_of_their_own(self, raw_trees, tmp_path):
        raw_trees.write_ho3d(tmp_path / "all")
        raw_trees.write_ho3d(tmp_path / "raw/HO3D_v3", hand_channel=None)
        raw_trees.zip_folder(tmp_path / "all/train/ABF10/seg", tmp_path / "raw/seg.zip", prefix="x/train/ABF10/seg/")
        assert pack("ho3d", tmp_path / "raw", tmp_path / "out")["train"][0].mask is not None

    def test_two_versions_at_once_are_refused(self, raw_trees, tmp_path):
        for version in ("v2", "v3"):
            raw_trees.write_ho3d(tmp_path / "raw" / version, version=version, train=1, evaluation=1)
        with pytest.raises(DataError, match="expected one version; give its folder with --root"):
            find_source("ho3d").open(Request(tmp_path / "raw"))

    def test_truth_of_the_other_version_is_refused(self, raw_trees, tmp_path):
        raw_trees.write_ho3d(tmp_path / "raw")
        (tmp_path / "raw/evaluation_xyz.json").write_text(json.dumps(np.zeros((2, 21, 3)).tolist()))
        with pytest.raises(DataError, match=r"2 entries, expected 3, the number of lines in evaluation\.txt"):
            pack("ho3d", tmp_path / "raw", tmp_path / "out")

    def test_a_malicious_meta_is_refused_and_not_run(self, raw_trees, tmp_path):
        raw_trees.write_ho3d(tmp_path / "raw")
        target = tmp_path / "raw/train/ABF10/meta/0002.pkl"
        target.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "owned").encode() + b"'\ntR.")
        with pytest.raises(AssetError, match=r"0002\.pkl: the file requests os\.system"):
            pack("ho3d", tmp_path / "raw", tmp_path / "out")
        assert not (tmp_path / "owned").exists()

    def test_a_list_of_another_form_is_refused(self, raw_trees, tmp_path):
        raw_trees.write_ho3d(tmp_path / "raw")
        for text in ("ABF10/0000\n../../etc/passwd\n", ""):
            (tmp_path / "raw/train.txt").write_text(text)
            with pytest.raises(DataError, match="expected lines like ABF10/0000"):
                find_source("ho3d").open(Request(tmp_path / "raw"))

    def test_missing_frames_are_counted(self, raw_trees, tmp_path):
        raw_trees.write_ho3d(tmp_path / "raw")
        (tmp_path / "raw/train/ABF10/rgb/0004.jpg").unlink()
        parts = {part.path: part for part in find_source("ho3d").inspect(Request(tmp_path / "raw"))}
        assert parts["train/<SEQ>/rgb"].state == "broken"
        assert parts["train/<SEQ>/rgb"].detail == "1 of 5 frames missing, the first ABF10/0004"


def check_crop(sample, points_px, picture):
    """The crop shows what the picture shows at its joints: K and labels moved by whole pixels with it."""
    crop = pictures.decode(sample.image).astype(int)
    shift = np.round(points_px[0] - sample.labels["joints_px"][0]).astype(int)
    assert np.allclose(sample.labels["joints_px"] + shift, points_px, atol=2e-3)
    same = picture[shift[1] : shift[1] + crop.shape[0], shift[0] : shift[0] + crop.shape[1]]
    assert same.shape == crop.shape
    assert np.abs(same - crop).mean() < 4


class TestRhd:
    def test_the_better_hand_becomes_a_right_one(self, raw_trees, tmp_path):
        given = raw_trees.write_rhd(tmp_path / "raw/RHD_published_v2")["training"]
        train = pack("rhd", tmp_path / "raw", tmp_path / "out")["train"]
        order = list(raw_trees.RHD_ORDER)
        for number, sample in enumerate(train):
            side = ("right", "left")[number % 2]
            rows = slice(21, 42) if side == "right" else slice(0, 21)
            xyz, uv = given[number]["xyz"][rows][order], given[number]["uv_vis"][rows][order]
            picture, sign = raw_trees.picture(number, 320, 320), (1, 1, 1)
            if side == "left":
                sign, picture, uv[:, 0] = (-1, 1, 1), picture[:, ::-1], 320 - uv[:, 0]
            assert (sample.key, sample.side) == (f"{number:05d}", side)
            assert np.array_equal(sample.labels["joints_cam"], f32(xyz * sign))
            assert np.array_equal(sample.labels["joints_visible"], f32(uv[:, 2]))
            assert reprojection_error(sample) < 1e-3
            check_crop(sample, uv[:, :2], picture)
            centre = sample.labels["joints_px"].mean(axis=0).astype(int)
            assert mask_of(sample)[centre[1], centre[0]]
            middle = sample.labels["joints_cam"]
            palm = np.cross(middle[5] - middle[0], middle[17] - middle[0])
            assert palm @ (middle[8] - middle[5]) > 0  # bends like a right hand

    @pytest.mark.parametrize(
        ("left", "right", "ids", "side"),
        [
            (21, 20, {33: 500}, "left"),
            (20, 21, {2: 500}, "right"),
            (5, 5, {17: 9, 18: 8}, "left"),
            (5, 5, {17: 8, 33: 8}, "right"),
            (0, 0, {18: 1}, "right"),
        ],
    )
    def test_side_by_joints_then_pixels_then_right(self, left, right, ids, side):
        uv = np.zeros((42, 3))
        uv[:left, 2] = uv[21 : 21 + right, 2] = 1
        mask = np.concatenate([np.full(n, value) for value, n in ids.items()]).astype(np.uint8)
        assert choose_side(uv, mask.reshape(1, -1)) == side

    def test_a_picture_without_a_hand_is_a_problem(self):
        with pytest.raises(DataError, match="no hand is visible"):
            choose_side(np.zeros((42, 3)), np.ones((4, 4), np.uint8))

    def test_missing_annotations_and_pictures_are_problems(self, raw_trees, tmp_path):
        records = raw_trees.write_rhd(tmp_path / "raw")["training"]
        del records[1]
        records[2] = records[2] | {"xyz": records[2]["xyz"][:20]}
        records[3]["uv_vis"][0, 0] = np.nan
        raw_trees.write_pickle(tmp_path / "raw/training/anno_training.pickle", records)
        (tmp_path / "raw/training/mask/00004.png").unlink()
        split = find_source("rhd").open(Request(tmp_path / "raw"))[0]
        split.stage(tmp_path)
        rows = list(split.read(0, 6))
        assert [isinstance(row, Problem) for row in rows] == [False, True, True, True, True, False]
        assert "mask/00004.png: missing" in rows[4].reason

    def test_wrong_camera_or_units_fail_the_checks(self, raw_trees, tmp_path):
        records = raw_trees.write_rhd(tmp_path / "raw")["training"]
        for record in records.values():
            record["K"] = record["K"] * np.asarray((1.1, 1, 1))
        raw_trees.write_pickle(tmp_path / "raw/training/anno_training.pickle", records)
        with pytest.raises(DataError, match=r"projection \(2D joints .* px apart \(median\), limit 0\.5 px\)"):
            pack("rhd", tmp_path / "raw", tmp_path / "out")

    def test_parts_are_named(self, raw_trees, tmp_path):
        raw_trees.write_rhd(tmp_path / "raw")
        assert set(states("rhd", tmp_path / "raw").values()) == {"present"}
        assert states("rhd", tmp_path)["training/color"] == "present"
        with pytest.raises(DataError, match=r"no RHD found, .*download RHD_v1-1\.zip"):
            find_source("rhd").open(Request(tmp_path / "raw/training/color"))


_EMPTY = {name: [] for name in ("img", "pose", "joint3d", "joint2d")}


class TestDart:
    @pytest.mark.parametrize("background", [True, False])
    def test_an_orthographic_hand_is_in_front_of_a_distant_pinhole(self, raw_trees, tmp_path, background):
        given = raw_trees.write_dart(tmp_path / "raw", background=background)
        sets = pack("dart", tmp_path / "raw", tmp_path / "out")
        assert sets["train"].keys == ("0/0", "0/1", "0/2", "1/0", "1/1", "1/2")
        assert sets["train"].index.facts.camera == "orthographic"
        assert len(sets["evaluation"]) == 3
        for position, sample in enumerate(sets["train"]):
            part, row = divmod(position, 3)
            truth = given["train", part]
            joints, factor = truth["joints"][row], (384 if background else 512) / 512
            placed = sample.labels["joints_cam"].astype(np.float64)
            assert np.allclose(placed - placed[9], joints - joints[9], atol=1e-5)
            assert placed[9, 2] == DISTANCE_M
            assert np.allclose(sample.labels["joints_px"], truth["points"][row] * factor, atol=1e-3)
            assert reprojection_error(sample) < 0.25
            assert sample.K[0, 0] / DISTANCE_M == pytest.approx(truth["scale"][row] * factor, rel=1e-5)
            verts = sample.labels["mano_vertices_cam"].astype(np.float64) - placed[5]
            assert np.allclose(verts, truth["verts"][row][:778], atol=2e-5)
            assert np.array_equal(sample.labels["pose"], f32(truth["pose"][row][1:].ravel()))
            ours = Rotation.from_rotvec(sample.labels["global_orient"]).as_matrix()
            there = Rotation.from_rotvec(truth["pose"][row][0]).as_matrix()
            assert np.allclose(ours, np.diag((1, -1, -1)) @ there, atol=1e-6)
            centre = sample.labels["joints_px"].mean(axis=0).astype(int)
            assert mask_of(sample)[centre[1], centre[0]]

    def test_vertices_and_cutouts_may_be_absent(self, raw_trees, tmp_path):
        raw_trees.write_dart(tmp_path / "raw", parts=1)
        for name in ("0_verts/0.pkl", "0/1.png"):
            (tmp_path / "raw/train" / name).unlink()
        first, second, _ = pack("dart", tmp_path / "raw", tmp_path / "out")["train"]
        assert "mano_vertices_cam" not in first.labels
        assert first.mask is not None
        assert second.mask is None

    def test_zips_keep_their_split(self, raw_trees, tmp_path):
        raw_trees.write_dart(tmp_path / "all", parts=1)
        raw_trees.zip_folder(tmp_path / "all/train", tmp_path / "raw/train/part_0.zip")
        raw_trees.mark(tmp_path / "raw", stand_in=False)
        sets = pack("dart", tmp_path / "raw", tmp_path / "out")
        assert list(sets) == ["train"]
        assert len(sets["train"]) == 3
        raw_trees.zip_folder(tmp_path / "all/train", tmp_path / "loose/part_0.zip")
        with pytest.raises(DataError, match="outside train and test"):
            find_source("dart").open(Request(tmp_path / "loose"))

    def test_a_perspective_annotation_fails_the_check(self, raw_trees, tmp_path):
        raw_trees.write_dart(tmp_path / "raw", parts=1)
        rng = np.random.default_rng(0)
        record = {
            "img": ["0.png"] * 3,
            "pose": [np.zeros((16, 3))] * 3,
            "joint3d": list(raw_trees.hands(3, seed=0)),
            "joint2d": list(rng.uniform(0, 512, (3, 21, 2))),
        }
        raw_trees.write_pickle(tmp_path / "raw/train/part_0.pkl", record)
        with pytest.raises(DataError, match=r"orthographic camera \(median residual"):
            pack("dart", tmp_path / "raw", tmp_path / "out")

    @pytest.mark.parametrize(
        "change", [{"pose": []}, {"img": ["../x.png"] * 3}, {"img": ["", 3, "x.png"]}, {"joint3d": None}, _EMPTY]
    )
    def test_an_invalid_part_is_refused(self, raw_trees, tmp_path, change):
        raw_trees.write_dart(tmp_path / "raw", parts=1)
        record = {"img": ["0.png"] * 3, "pose": [0] * 3, "joint3d": [0] * 3, "joint2d": [0] * 3} | change
        raw_trees.write_pickle(tmp_path / "raw/train/part_0.pkl", record)
        with pytest.raises(DataError, match=r"part_0\.pkl: .*; download the part again"):
            pack("dart", tmp_path / "raw", tmp_path / "out")

    @pytest.mark.parametrize(
        ("value", "found"),
        [(np.full((778, 3), np.nan), r"values of shape \(778, 3\)"), ("text", "no array of numbers")],
    )
    def test_vertices_that_are_not_finite_numbers(self, raw_trees, tmp_path, value, found):
        raw_trees.write_dart(tmp_path / "raw", parts=1)
        raw_trees.write_pickle(tmp_path / "raw/train/0_verts/0.pkl", value)
        with pytest.raises(
            DataError, match=f"0\\.pkl: found {found}, expected finite numbers .*; download the part again"
        ):
            pack("dart", tmp_path / "raw", tmp_path / "out")

    def test_parts_are_listed(self, raw_trees, tmp_path):
        raw_trees.write_dart(tmp_path / "raw", parts=1, background=False)
        found = states("dart", tmp_path / "raw")
        assert found["train/0"] == found["test/0_verts"] == "present"
        assert found["train/0_wbg"] == "optional"


def test_an_unknown_dataset_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"found 'frehand', expected one of freihand, .*; did you mean freihand\?"):
        find_source("frehand")
    assert [find_source(name).name for name in SOURCES] == list(SOURCES)
