"""The supervision table and its rules, and the page that shows it."""

from pathlib import Path

import pytest

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.losses.compared_regions import REGIONS
from hifihr_core.losses.supervision import CAPABILITIES, LEVELS, check_labels, plan_terms, weight_at
from hifihr_core.losses.terms import TERMS
from hifihr_core.records import LABELS

EVERYTHING = frozenset(CAPABILITIES)
DOC = Path(__file__).parents[3] / "docs" / "supervision.md"


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_has_weights_only_for_what_it_may_read(level):
    row = LEVELS[level]
    for name in row.weights:
        assert TERMS[name].labels <= row.labels
    assert REGIONS[row.region].labels <= row.labels <= LABELS.keys()


def test_no_level_but_full_sees_three_dimensions():
    for level in ("weak", "self"):
        assert not {"joints_cam", "mano_vertices_cam", "bone_m", "root_cam", "pose", "shape"} & LEVELS[level].labels
    assert not {"joints_px", "mask"} & LEVELS["self"].labels


def test_capabilities_are_the_ones_that_terms_ask_for():
    assert {need for row in TERMS.values() for need in row.requires} == set(CAPABILITIES)


def test_a_term_that_the_hand_does_not_support_is_omitted_with_its_reason():
    plan = plan_terms("full", frozenset({"render", "region"}))
    assert "vertices_3d" not in plan.terms
    assert ("vertices_3d", "this hand has no MANO vertices") in plan.left_out
    assert "mano_vertices_cam" not in plan.labels


def test_without_rendering_no_mask_is_needed():
    plan = plan_terms("weak", frozenset())
    assert plan.labels == {"joints_px"}


def test_photometric_terms_need_the_labels_of_the_region():
    assert "mask" in plan_terms("weak", EVERYTHING).terms["photometric"].labels
    assert "keypoints_confidence" in plan_terms("self", EVERYTHING).terms["photometric"].labels


def test_a_weight_of_zero_omits_a_term_and_a_new_weight_adds_it():
    plan = plan_terms("full", EVERYTHING, weights={"joints_3d": 0.0, "laplacian": 0.1})
    assert "joints_3d" not in plan.terms
    assert plan.weights_at(0)["laplacian"] == 0.1


def test_a_forbidden_label_is_named():
    with pytest.raises(
        ConfigError, match=r"loss\.weights\.joints_3d: supervision self may not read the label joints_cam"
    ):
        plan_terms("self", EVERYTHING, weights={"joints_3d": 1.0})
    with pytest.raises(ConfigError, match="unknown term, expected one of albedo, bone_direction_2d"):
        plan_terms("self", EVERYTHING, weights={"joint_3d": 1.0})
    with pytest.raises(ConfigError, match="expected one of full, weak, self"):
        plan_terms("strong", EVERYTHING)


def test_a_missing_label_is_named_with_its_terms_and_a_remedy():
    plan = plan_terms("weak", EVERYTHING)
    check_labels(plan, {"a": frozenset({"joints_px"}), "b": frozenset({"mask"})})
    with pytest.raises(DataError, match=r"a: no label mask, .* supervision weak needs for .*--set loss.weights.iou=0"):
        check_labels(plan, {"a": frozenset({"joints_px"})})
    with pytest.raises(
        DataError, match=r"no label joints_cam, .* needs for render.root=given; .*--set render.root=pred"
    ):
        check_labels(plan, {"a": plan.labels}, extra=("joints_cam",))


def test_the_first_reason_in_the_table_is_given_for_an_omitted_term():
    plan = plan_terms("weak", EVERYTHING - {"render", "region", "perceptual"})
    assert dict(plan.left_out)["perceptual"] == "rendering is off"


def test_weights_follow_the_rule_of_the_last_step():
    steps = ((0, 0.01), (10, 1e-3), (20, 1e-5))
    assert [weight_at(steps, epoch) for epoch in (0, 9.99, 10, 19, 20, 500)] == [0.01, 0.01, 1e-3, 1e-3, 1e-5, 1e-5]
    assert weight_at(((5, 2.0),), 0) == 2.0
    assert weight_at(3.0, 7) == 3.0


def test_the_page_shows_the_table():
    """Every row in docs/supervision.md has the labels and weights of the code."""
    rows = [line.strip("| ").split(" | ") for line in DOC.read_text().splitlines() if line.startswith("| `")]
    shown = {row[0].strip("`"): [cell.strip() for cell in row[1:]] for row in rows}
    for name, level in LEVELS.items():
        assert shown[name] == [", ".join(f"`{label}`" for label in sorted(level.labels))]
    for name in {term for level in LEVELS.values() for term in level.weights}:
        cells = [*shown[name][2:], "", "", ""][:3]
        for cell, level in zip(cells, LEVELS.values(), strict=True):
            weight = level.weights.get(name)
            first = "" if weight is None else f"{weight_at(weight, 0):g}"
            assert cell.partition(" → ")[0] == first
