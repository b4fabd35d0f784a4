"""Claim: `predict` gives dark hands a darker skin than light ones, in the order that a person finds.

`ORDER.json` states how light a person finds each hand of a photo, on any scale, in the order in which `predict` lists
them, or null for a hand that is not counted: ``{"one.jpg": [2.5], "two.jpg": [6, null]}``; names are relative to the
file. The lightness L* is that of the mean colour of the exported map's texels that some triangle shows.

Usage: python benchmarks/skin_order.py ORDER.json [--refine] [--threads 1] [--json FILE]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from look import on_chart
from reporting import report
from scipy.stats import spearmanr
from skimage.color import rgb2lab

from hifihr_core.exports.textured_meshes import TexturedMesh
from hifihr_core.prediction import Predictor, PredictSettings
from hifihr_core.records import Appearance

TEXTURE_PX = 512


def lightness(mesh: TexturedMesh) -> float:
    """Return L* of the mean colour on the chart."""
    assert mesh.texture is not None
    assert mesh.uvs is not None
    assert mesh.faces_uvs is not None
    albedo = torch.from_numpy(mesh.texture).permute(2, 0, 1)[None].float() / 255
    inside = on_chart(Appearance(albedo, torch.from_numpy(mesh.uvs), torch.from_numpy(mesh.faces_uvs)))
    color = albedo[0][:, inside].mean(dim=1).double().numpy()
    return float(rgb2lab(color[None, None])[0, 0, 0])


def main() -> None:
    """Infer the skins, and report their lightness and its rank correlation with the order."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("order", type=Path)
    parser.add_argument("--refine", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    predictor = Predictor.load(detector="auto", settings=PredictSettings(refine=options.refine, texture_px=TEXTURE_PX))
    asked, found, skins = [], [], {}
    for name, judged in json.loads(options.order.read_text()).items():
        hands = predictor.predict(str(options.order.parent / name)).hands
        if len(hands) != len(judged):
            raise SystemExit(f"{name}: {len(hands)} hands were found, expected {len(judged)}, one for each number")
        skins[name] = [round(lightness(hand.mesh), 1) for hand in hands]
        pairs = [(one, skin) for one, skin in zip(judged, skins[name], strict=True) if one is not None]
        asked += [one for one, _ in pairs]
        found += [skin for _, skin in pairs]
    correlation = float(spearmanr(asked, found).statistic) if np.ptp(found) > 0 else 0.0
    report("skin_order", {"hands": len(found), "rank_correlation": correlation, "lightness": skins}, options.json)


if __name__ == "__main__":
    main()
