"""`report.html`: everything about a run on one page, at any stage of the run."""

import json
from xml.etree import ElementTree

from hifihr_core.training.folder.report_page import MOST_POINTS, draw_curve, points_of, write_report


def body_of(path):
    """Parse the page as XML, which catches a tag that is not closed and text that is not escaped."""
    text = path.read_text(encoding="utf-8").replace("<!doctype html>", "").replace('<meta charset="utf-8">', "")
    return ElementTree.fromstring(text.replace('alt="samples">', 'alt="samples"/>'))


def write_run(folder):
    (folder / "samples").mkdir(parents=True)
    (folder / "samples" / "step_0000002.png").write_bytes(b"png")
    (folder / "samples" / "step_0000004.png").write_bytes(b"png")
    rows = [{"kind": "train", "step": step, "epoch": step / 4, "loss": 9.0 - step} for step in range(1, 5)]
    rows += [{"kind": "validation", "step": 4, "epoch": 1.0, "loss": 5.5, "pa_mpjpe_mm": 12.25, "iou": None}]
    lines = [json.dumps(row) for row in rows]
    (folder / "metrics.jsonl").write_text("\n".join([*lines, "{broken", "[" * 5000, '{"step": "x"}']) + "\n")
    (folder / "config.toml").write_text('name = "<script>"\n')


def test_the_page_shows_curves_samples_validations_and_settings(tmp_path):
    write_run(tmp_path / "run")
    page = body_of(write_report(tmp_path / "run"))
    captions = ["".join(node.itertext()) for node in page.iter("figcaption")]
    assert captions[0] == "training loss: 5"
    assert "validation pa_mpjpe_mm: 12.25" in captions
    assert next(page.iter("img")).get("src") == "samples/step_0000004.png"
    assert [node.text for node in page.iter("td")] == ["4", "1", "5.5", "12.25", None]
    assert next(page.iter("pre")).text == 'name = "<script>"\n'


def test_an_empty_run_has_a_page_too(tmp_path):
    assert "None yet." in "".join(body_of(write_report(tmp_path)).itertext())


def test_long_journals_are_averaged():
    rows = [{"step": step, "loss": float(step % 2)} for step in range(1000)] + [{"step": 1000, "loss": float("nan")}]
    points = points_of(rows, "loss")
    assert len(points) <= MOST_POINTS
    assert all(0.3 < value < 0.7 for _, value in points)
    assert points[-1][0] == 999


def test_a_flat_curve_and_a_single_point_are_drawn():
    assert "polyline" in draw_curve("a", [(1.0, 2.0)])
    assert "nan" not in draw_curve("a", [(1.0, 2.0), (2.0, 2.0)])
    assert draw_curve("a", []) == ""
