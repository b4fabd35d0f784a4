"""Rows of benchmarks that are kept between runs: another name for other facts, and nothing measured twice."""


def test_names_differ_if_a_fact_does_and_keep_their_ending(load_tool, tmp_path):
    named = load_tool("../benchmarks/kept_rows.py").named
    names = [named(tmp_path / "self-40.json", *facts) for facts in ((1, "a"), (1, "b"), (2, "a"), ())]
    assert len(set(names)) == 4
    assert {name.suffix for name in names} == {".json"}
    assert all(name.name.startswith("self-40-") for name in names)
    assert names[0] == named(tmp_path / "self-40.json", 1, "a")


def test_a_kept_row_is_not_made_again(load_tool, tmp_path):
    kept = load_tool("../benchmarks/kept_rows.py").kept
    assert kept(tmp_path / "row.json", lambda: {"psnr": 20.0}) == {"psnr": 20.0}
    assert kept(tmp_path / "row.json", lambda: {"psnr": 1.0}) == {"psnr": 20.0}
