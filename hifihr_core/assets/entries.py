"""The table of assets as plain data; `registry.py` checks it."""

from typing import Any

MANO = {
    "kind": "hand model",
    "licence": "gated",
    "terms": "MANO licence: non-commercial research, no redistribution; register on the homepage",
    "homepage": "https://mano.is.tue.mpg.de",
    "citation": "Romero, Tzionas, Black: Embodied Hands. ACM Transactions on Graphics 36(6), 2017",
}

ENTRIES: tuple[dict[str, Any], ...] = (
    {
        **MANO,
        "id": "mano-right",
        "title": "MANO, right hand",
        "file": "mano_right.npz",
        "files": ("MANO_RIGHT.pkl",),
        "needed_by": "load_hand('mano'); FreiHAND and HO-3D vertex metrics",
    },
    {
        **MANO,
        "id": "mano-left",
        "title": "MANO, left hand",
        "file": "mano_left.npz",
        "files": ("MANO_LEFT.pkl",),
        "needed_by": "true-left parameters in exports",
    },
)
