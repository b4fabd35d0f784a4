"""Choose the initial network of a run whose settings do not describe one: that of the newest pretraining run, or
else the shipped one.

Random heads, such as those of the paper's networks (`--config`), learn nothing useful in an afternoon on a CPU.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from hifihr_core.config.named_layers import Layer
from hifihr_core.config.renamed import read_settings
from hifihr_core.config.tree import RunSettings
from hifihr_core.errors import HifihrError
from hifihr_core.models.checkpoint import BEST, NEWEST
from hifihr_core.models.shipped import IMAGE_NETWORK, shipped_model
from hifihr_core.training.data import SYNTH
from hifihr_core.training.network import richest_hand
from hifihr_core.weight_files import read_facts

#: Settings that describe the network; if one of them is given, the network is built from the settings.
ABOUT_THE_NETWORK = frozenset(
    {
        *("model.backbone", "model.weights", "model.normalize", "model.geometry", "model.lifter", "model.norm"),
        *("model.rotation", "model.relative_to_ray", "model.mean_shape", "model.light", "model.ambient"),
        *("model.texture", "data.image_px"),
    }
)

#: Settings that a run inherits from the network that it starts from.
_TAKEN_OVER = ("backbone", "normalize", "geometry", "norm", "rotation", "relative_to_ray", "light", "ambient")

#: The folder in which the command line stores pretraining runs.
RUNS, PRETRAININGS = Path("runs"), "pretrain-*"


#: A trained network continues at a fraction of the learning rate that random weights need.
FINE_TUNING_LR = 1e-4


@dataclass(frozen=True)
class BareStart:
    """The initial network of a run: its settings, its weight file, and a line for the user.

    `layer` contains the settings of the network, with lower priority than everything that the user sets. `keeps` has
    higher priority than the settings of pretraining, so that a pretraining run keeps the heads that it does not train.
    `init` is the weight file, or None if only the shipped weights of the backbone are used.
    """

    layer: Layer
    keeps: Layer
    init: Path | None
    note: str


def find_bare_start(
    settings: RunSettings, given: Collection[str], *, runs: Path | None = RUNS, pretraining: bool = False
) -> BareStart | None:
    """Return the initial network of a run, or None if the user's settings `given` (dotted names) describe one.

    A pretraining run starts from the shipped network. All other runs start from the newest pretraining run in `runs`
    for their hand, or from the shipped network if there is none. If the shipped network was trained for another hand,
    only its backbone is used, with new heads. Also returns None if there is no network to start from.
    """
    if ABOUT_THE_NETWORK & set(given):
        return None
    hand = settings.model.hand
    if hand == "auto":
        hand = "anny" if SYNTH in settings.data.train else richest_hand()
    if not pretraining and runs is not None and (path := newest_pretraining(runs, hand)) is not None:
        return _start_from(path, hand, settings, f"the newest pretraining run, {path}")
    shipped = shipped_model(IMAGE_NETWORK)
    if shipped is None:
        return None
    remark = "; to train the paper's network, give one of its presets with --config"
    return _start_from(shipped, hand, settings, "the shipped network", remark)


def newest_pretraining(runs: Path, hand: str) -> Path | None:
    """Return the weight file of the newest pretraining run for a hand in the folder `runs`, or None if there is none.

    It is the file of the run's best weights if there is one, else that of its newest weights.
    """
    places = [folder / name for folder in runs.glob(PRETRAININGS) for name in (BEST, NEWEST)]
    found = [path for path in places if path.is_file() and _hand_of(path) == hand]
    # The best weights, if any, of the most recently written run.
    newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        return None
    best = newest.parent / BEST.name
    return best if best in found else newest


def _hand_of(path: Path) -> str | None:
    try:
        return read_facts(path)["hand"]
    except HifihrError:
        return None


def _start_from(path: Path, hand: str, settings: RunSettings, name: str, remark: str = "") -> BareStart | None:
    facts, note = read_facts(path), f"starting from {name}{remark}"
    source = read_settings(facts["settings"])
    values: dict[str, object] = {f"model.{key}": getattr(source.model, key) for key in _TAKEN_OVER}
    values["data.image_px"] = source.data.image_px
    if facts["hand"] == hand:
        values |= {
            "model.hand": hand,
            "model.texture_px": source.model.texture_px,
            "train.lr": FINE_TUNING_LR,
            "train.freeze_statistics": True,
        }
        if settings.train.supervision != "full":  # nothing else determines the distance and size of the hand
            values["loss.priors"] = "start"
        keeps = Layer(note, {"model.texture": source.model.texture} if source.model.texture else {})
        return BareStart(Layer(note, values), keeps, path, note)
    values["model.weights"] = "shipped"
    note = f"starting from the backbone of {name}, with new heads for the hand {hand}{remark}"
    return BareStart(Layer(note, values), Layer(note), None, note)
