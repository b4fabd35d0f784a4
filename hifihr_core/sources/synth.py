"""Synthetic hands as a source for `prepare`: rendered while they are packed, without any download."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast, get_args

import torch

from hifihr_core import __version__
from hifihr_core.errors import ConfigError
from hifihr_core.hands import load_hand
from hifihr_core.machine.freed_memory import keep_freed_memory
from hifihr_core.records import Sample
from hifihr_core.shards.schema import CheckFacts, DatasetFacts, Problem
from hifihr_core.shards.split import Split
from hifihr_core.sources.contract import FileState, Request, Source
from hifihr_core.synthesis.as_samples import BLOCK, samples
from hifihr_core.synthesis.generator import Synthesizer
from hifihr_core.synthesis.options import LightKind, SynthOptions

#: Lighting of synthetic hands, by name on the command line.
LIGHT_KINDS: tuple[str, ...] = get_args(LightKind)
#: The meaning of a zero `pose`, by hand model.
_POSE_ZERO: Mapping[str, Any] = {"anny": "flat", "mano": "mean"}


@dataclass(frozen=True)
class SynthRequest:
    """Options of this source on the command line, passed in `Request.options`.

    `evaluation` is the number of samples of a second split, drawn from another seed. `light`, `environments` and `each`
    are `light`, `environments` and `pictures_each` of `SynthOptions`; a folder of environments implies environment
    light.
    """

    count: int = 10_000
    evaluation: int = 0
    seed: int = 0
    hand: str = "anny"
    backgrounds: Path | None = None
    light: str | None = None
    environments: Path | None = None
    each: int | None = None
    options: SynthOptions = field(default_factory=SynthOptions)


@dataclass
class SynthSplit(Split):
    """Samples from one seed; every worker process builds its own generator."""

    seed: int
    hand: str
    options: SynthOptions
    facts: DatasetFacts
    count: int
    plan: Mapping[str, Any]
    bytes_each: int = 30_000
    synthesizer: Synthesizer | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"synthesizer": None}

    def read(self, start: int, stop: int) -> Iterator[Sample | Problem]:
        """Render samples start..stop-1."""
        if self.synthesizer is None:
            torch.set_num_threads(1)  # one process per core renders faster than one thread per core
            keep_freed_memory()
            self.synthesizer = Synthesizer(load_hand(self.hand), seed=self.seed, options=self.options)
        yield from samples(self.synthesizer, start, stop)

    def checks(self) -> Iterator[CheckFacts]:
        """Return no checks: labels and pictures come from the same numbers."""
        return iter(())


def chosen_options(wanted: SynthRequest) -> SynthOptions:
    """Return the picture options. Raises: ConfigError if they contradict each other or are invalid."""
    light = wanted.light or ("environment" if wanted.environments else wanted.options.light)
    if light not in LIGHT_KINDS:
        raise ConfigError(f"--light: unknown light {light!r}, expected one of {', '.join(LIGHT_KINDS)}")
    if wanted.environments and light == "lamp":
        raise ConfigError("--environments cannot be used with --light lamp; leave one of them out")
    each = wanted.each or wanted.options.pictures_each
    if BLOCK % each:
        raise ConfigError(f"--each {each}: expected a divisor of {BLOCK}, the number of pictures rendered at once")
    return replace(
        wanted.options,
        photos=wanted.backgrounds and wanted.backgrounds.absolute(),
        light=cast(LightKind, light),
        environments=wanted.environments and wanted.environments.absolute(),
        pictures_each=each,
    )


def open_synth(request: Request) -> Sequence[Split]:
    """Return the requested splits.

    Raises: AssetError if the hand model is not installed; ConfigError if options are invalid or contradict each other.
    """
    wanted = SynthRequest(**request.options)
    options = chosen_options(wanted)
    hand = load_hand(wanted.hand)
    facts = DatasetFacts(
        dataset="synth",
        split="train",
        version=__version__,
        licence=hand.licence if hand.licence in ("free", "non-commercial", "gated") else "unknown",
        joint_definition=hand.joint_definition,
        hand=hand.name,
        pose_zero=_POSE_ZERO.get(hand.name),
        synthetic=True,
        mano_stand_in=not hand.has_mano_vertices,
        provenance=f"rendered with hifihr {__version__}, seed {wanted.seed}",
        crop_scale=None,
    )
    parts = (("train", wanted.count, wanted.seed), ("evaluation", wanted.evaluation, wanted.seed + 1_000_003))
    return [
        SynthSplit(
            seed=seed,
            hand=wanted.hand,
            options=options,
            facts=facts.model_copy(update={"split": split}),
            count=min(count, request.limit or count),
            plan={"seed": seed, "hand": wanted.hand, "options": repr(options)},
            bytes_each=30_000 * options.image_px**2 // 224**2,
        )
        for split, count, seed in parts
        if count
    ]


def inspect_synth(request: Request) -> Sequence[FileState]:
    """Return nothing: there is no download."""
    return ()


SYNTH = Source(
    name="synth",
    summary="synthetic photos of hands with exact labels, rendered locally",
    licence="free",
    download="nothing to download",
    layout="nothing is read",
    open=open_synth,
    inspect=inspect_synth,
    options=frozenset({"count", "evaluation", "seed", "hand", "backgrounds", "light", "environments", "each", "as"}),
)
