"""What `predict` may import: some packages take longer to load than a photo takes to predict."""

import shutil
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Loaded by training, evaluation or tests; each takes from a tenth of a second to two seconds.
BANNED = (
    *("timm", "torchvision", "roma", "trimesh", "skimage", "matplotlib", "tensorboard", "lpips", "h5py", "mediapipe"),
    *("torch._dynamo", "sympy", "networkx", "pandas", "rich"),
)
CODE = """
import sys
from hifihr_cli.main import main
code = main(["predict", "hand.jpg", "--boxes", "hand.json", "--no-overlay"])
print(*sorted(set(sys.modules) & set({banned})))
sys.exit(code)
"""


def test_predict_imports_what_it_uses_and_no_more(run_fresh, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("hand.jpg", "hand.json"):
        shutil.copy(EXAMPLES / name, name)
    ended = run_fresh("-c", CODE.format(banned=BANNED))
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1].strip() == "", ended.out
