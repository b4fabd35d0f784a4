"""Detected boxes instead of labels: which hand is the labelled one, what is missed, and what is scored."""

import numpy as np
import pytest

from hifihr_core.errors import DataError
from hifihr_core.evaluation.benchmarks.submission import to_submission
from hifihr_core.evaluation.checkpoint_job import RunOptions
from hifihr_core.evaluation.found_boxes import FoundSamples, find_boxes, labelled_hand
from hifihr_core.evaluation.score_checkpoint import collect_part, evaluate_checkpoint
from hifihr_core.machine.parts import WHOLE
from hifihr_core.photos import detectors
from hifihr_core.photos.detections import Detection
from hifihr_core.shards.folder import ShardSet
from hifihr_core.stream.collate import hand_box


def hand(*box, side="right", score=0.9):
    return Detection(box, score=score, side=side)


@pytest.fixture(scope="module")
def shards(write_shards, tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), "ho3d")


@pytest.fixture
def finding(monkeypatch, shards):
    """Return ``install(missed=(1,))``: a detector named "auto" that finds the labelled hands, all but some."""

    def install(missed=(), grown=0.0, shards=shards):
        boxes = [hand_box(sample.labels) for sample in ShardSet(shards)]
        answers = iter(
            [] if number in missed else [hand(*(box + np.array([-grown, -grown, grown, grown]))), hand(0, 0, 5, 5)]
            for number, box in enumerate(boxes)
        )
        row = detectors.DetectorRow("scripted", lambda **options: lambda image: next(answers))
        monkeypatch.setattr(detectors, "DETECTORS", {"auto": row})
        return detectors.build_detector("auto")

    return install


def test_the_labelled_hand_is_the_one_that_overlaps_most():
    near, far, other = hand(10, 10, 52, 50), hand(25, 10, 65, 50), hand(100, 100, 140, 140, score=1.0)
    chosen, overlap = labelled_hand([other, far, near], np.array([10.0, 10.0, 50.0, 50.0]))
    assert chosen is near
    assert overlap == pytest.approx(40 / 42)
    assert labelled_hand([other], np.array([10.0, 10.0, 50.0, 50.0])) == (None, None)
    assert labelled_hand([], np.array([10.0, 10.0, 50.0, 50.0])) == (None, None)


def test_without_a_label_it_is_the_most_certain_right_hand():
    left, right, surest = hand(0, 0, 9, 9, side="left", score=1.0), hand(9, 9, 20, 20, score=0.6), hand(0, 0, 8, 8)
    assert labelled_hand([left, right, surest], None) == (surest, None)
    assert labelled_hand([left], None) == (left, None)
    assert labelled_hand([], None) == (None, None)


def test_found_boxes_replace_labels_and_missed_hands_are_named(shards, finding):
    samples = ShardSet(shards)
    found = find_boxes(samples, [0, 1, 2], finding(missed=(1,)))
    assert found.positions == [0, 2]
    assert found.missed == ("SM1/0001",)
    assert found.recall == pytest.approx(2 / 3)
    assert found.others == 2
    assert found.overlap == pytest.approx(1.0)
    boxed = FoundSamples(samples, found)
    assert len(boxed) == len(samples)
    np.testing.assert_allclose(boxed[0].labels["box_px"], hand_box(samples[0].labels))
    np.testing.assert_array_equal(hand_box(boxed[1].labels), hand_box(samples[1].labels))


def test_the_same_boxes_give_the_same_scores_and_others_do_not(shards, finding, checkpoint_path):
    options = RunOptions(boxes="predicted")
    given = evaluate_checkpoint(checkpoint_path, "ho3d", shards=shards).document
    finding()
    same = evaluate_checkpoint(checkpoint_path, "ho3d", shards=shards, options=options)
    finding(grown=6.0)
    wider = evaluate_checkpoint(checkpoint_path, "ho3d", shards=shards, options=options).document
    assert given["boxes"] == {"from": "labels"}
    assert same.document["metrics"] == given["metrics"]
    assert same.document["boxes"]["recall"] == 1
    assert same.submission is not None
    assert wider["camera"] != given["camera"]
    assert 0.2 < wider["boxes"]["overlap"] < 1


def test_missed_hands_are_reported_and_count_as_wrong(shards, finding, checkpoint_path):
    finding(missed=(3,))
    options = RunOptions(boxes="predicted")
    evaluation = evaluate_checkpoint(checkpoint_path, "ho3d", shards=shards, options=options, fail_under=["recall=0.9"])
    document = evaluation.document
    first_three = evaluate_checkpoint(checkpoint_path, "ho3d", shards=shards, options=RunOptions(limit=3)).document
    assert document["metrics"] == pytest.approx(first_three["metrics"])
    assert document["protocol"]["samples"] == 3
    assert document["boxes"]["missed"] == ["SM1/0003"]
    shares = document["boxes"]["with_missed"]
    assert shares["pa_auc_joints"] == pytest.approx(0.75 * document["metrics"]["pa_auc_joints"])
    assert not [name for name in shares if name.endswith("_mm")]
    assert any("3 of 4 hands were found (recall 0.750), 1 missed" in note for note in document["notes"])
    assert evaluation.submission is None
    assert evaluation.missed == ["recall is 0.75, less than 0.9"]


def test_truth_from_files_follows_what_was_found(
    write_shards, finding, write_truth, benchmarks, checkpoint_path, tmp_path
):
    shards = write_shards(tmp_path / "shards", "freihand", samples=5)
    labels = [
        np.stack([sample.labels[name] for sample in ShardSet(shards)]).astype(float)
        for name in ("joints_cam", "mano_vertices_cam")
    ]
    truth = write_truth(to_submission(*labels, benchmarks["freihand"]), tmp_path / "truth")
    options, metrics = RunOptions(boxes="predicted"), []
    for files in (None, truth):
        finding(missed=(0,), shards=shards)
        found = evaluate_checkpoint(checkpoint_path, "freihand", shards=shards, ground_truth=files, options=options)
        metrics.append(found.document["metrics"])
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-5)


def test_pictures_without_any_hand_are_an_error(shards, finding, checkpoint_path):
    finding(missed=(0, 1, 2, 3))
    with pytest.raises(DataError, match="labelled hand was found: 0 of 4; evaluate with --boxes labels"):
        evaluate_checkpoint(checkpoint_path, "ho3d", shards=shards, options=RunOptions(boxes="predicted"))


def test_boxes_that_are_found_are_not_divided_into_parts(shards, checkpoint_path, tmp_path):
    options = RunOptions(boxes="predicted")
    with pytest.raises(ValueError, match="cannot be divided into parts"):
        collect_part(checkpoint_path, "ho3d", WHOLE, tmp_path, shards=shards, options=options)
    with pytest.raises(ValueError, match="cannot be divided into parts"):
        evaluate_checkpoint(checkpoint_path, "ho3d", shards=shards, options=options, parts=tmp_path)
    assert not list(tmp_path.iterdir())
