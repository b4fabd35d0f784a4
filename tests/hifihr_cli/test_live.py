from hifihr_cli.main import main


def test_no_such_camera(capsys) -> None:
    assert main(["live", "--webcam", "97"]) == 5
    assert "camera 97" in capsys.readouterr().err


def test_wrong_command_lines(capsys) -> None:
    assert main(["live", "--focal", "500", "--fov", "60"]) == 2
    assert main(["live", "--osc", "nowhere"]) == 2
    assert main(["live", "none.mp4"]) == 3
    assert main(["live", "--webcam", "9" * 25]) == 2
    assert capsys.readouterr().err.count("\n") == 4
