from pathlib import Path

import pytest

from hifihr_core.errors import ConfigError, DataError
from hifihr_core.exports.formats import check_formats, refuse_existing


def test_formats_and_existing_files(tmp_path: Path) -> None:
    assert check_formats(["obj", "glb", "obj"]) == ("obj", "glb")
    with pytest.raises(ConfigError, match="fbx"):
        check_formats(["fbx"])
    (tmp_path / "a").touch()
    with pytest.raises(DataError, match="overwrite"):
        refuse_existing([tmp_path / "b", tmp_path / "a"])
