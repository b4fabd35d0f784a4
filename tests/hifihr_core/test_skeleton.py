"""Joint orders: as documented by the datasets, and round trips."""

import pytest

from hifihr_core.skeleton import BONES, GATHER, JOINT_NAMES, NUM_JOINTS, PARENTS, TIPS, gather_from, scatter_to

COMPLETE = [name for name in GATHER if name != "nimble"]


def test_names_parents_and_tips():
    assert len(JOINT_NAMES) == len(PARENTS) == NUM_JOINTS == 21
    assert [JOINT_NAMES[tip].split("_")[0] for tip in TIPS] == ["thumb", "index", "middle", "ring", "pinky"]
    for parent, child in BONES:
        same_finger = JOINT_NAMES[parent].split("_")[0] == JOINT_NAMES[child].split("_")[0]
        assert parent == 0 or (same_finger and parent == child - 1)


@pytest.mark.parametrize("source", COMPLETE)
def test_there_and_back(source):
    gather, scatter = gather_from(source), scatter_to(source)
    theirs = list(range(100, 121))
    ours = [theirs[place] for place in gather]
    assert [ours[place] for place in scatter] == theirs


def test_documented_orders():
    mano16 = ["wrist", *(f"{f}{k}" for f in ("index", "middle", "pinky", "ring", "thumb") for k in range(3))]
    fingers = ("thumb", "index", "middle", "ring", "pinky")
    ours = ["wrist", *(f"{f}{k}" for f in fingers for k in (0, 1, 2, "tip"))]
    tips = {
        "ho3d": ["thumb", "index", "middle", "ring", "pinky"],
        "dart": ["index", "middle", "pinky", "ring", "thumb"],
    }
    for source, order in tips.items():
        theirs = mano16 + [f"{finger}tip" for finger in order]
        assert [theirs[place] for place in gather_from(source)] == ours
    rhd = ["wrist", *(f"{f}{k}" for f in fingers for k in ("tip", 2, 1, 0))]
    assert [rhd[place] for place in gather_from("rhd")] == ours


def test_unknown_and_irreversible_orders():
    with pytest.raises(ValueError, match="known orders: freihand, ho3d"):
        gather_from("coco")
    with pytest.raises(ValueError, match="expected an order of the same 21 joints"):
        scatter_to("nimble")
