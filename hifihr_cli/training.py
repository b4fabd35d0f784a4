"""What `pretrain` and `train` share: merged settings, the run folder, progress, and the result."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hifihr_cli.console import emit, emit_json, progress, say

if TYPE_CHECKING:
    from hifihr_core.config.tree import RunSettings
    from hifihr_core.training.bare_start import BareStart
    from hifihr_core.training.loop import Summary
    from hifihr_core.training.run_progress import Progress

DataNames = Annotated[
    list[str] | None,
    typer.Option("--data", help="Dataset, shard folder or `synth`; repeatable.", metavar="NAME"),
]
Init = Annotated[Path | None, typer.Option("--init", help="Weight file or run folder to start from.", metavar="PATH")]
Paper = Annotated[
    bool,
    typer.Option(
        "--paper",
        help="Make the choices of the HiFiHR authors' code, such as Phong shading and unnormalised colours.",
        show_default=False,
    ),
]
RunFolder = Annotated[Path | None, typer.Option("--out", help="Run folder; default: a new one in ./runs.")]


def launch(
    name: str,
    flags: Mapping[str, object],
    *,
    layer: str | None = None,
    config: str | None,
    overrides: list[str] | None,
    paper: bool,
    out: Path | None,
    init: Path | None,
    resume: bool,
    print_config: bool,
    json: bool,
    device: str,
) -> None:
    """Run `pretrain` or `train`: settings, run folder, training, result.

    `name` is the start of a new run folder's name, in which {level} is the supervision level. `flags` maps dotted names
    of settings to the values of options. `layer` names one of `config.named_layers`.
    """
    is_bare = not (config or paper or init or resume)
    start = None
    settings = resolve(config, overrides, flags, layer=layer, paper=paper, resumed=out if resume else None)
    if is_bare and (start := bare_start(settings, overrides, pretraining=layer is not None)) is not None:
        settings = resolve(config, overrides, flags, layer=layer, paper=paper, resumed=None, start=start)
        init = start.init
    if print_config:
        from hifihr_core.config import dump_toml

        emit(dump_toml(settings).rstrip())
        return
    folder = choose_folder(out, name.format(level=settings.train.supervision), resume=resume)
    notes = (start.note,) if start else ()
    run_training(settings, folder, json=json, notes=notes, init=init, resume=resume, device=device)


def bare_start(settings: "RunSettings", overrides: list[str] | None, *, pretraining: bool) -> "BareStart | None":
    """Return the start of a run if the command line does not describe its network, else None; see `find_bare_start`."""
    from hifihr_core.training.bare_start import find_bare_start

    given = {text.partition("=")[0].strip() for text in overrides or ()}
    return find_bare_start(settings, given, pretraining=pretraining)


def resolve(
    config: str | None,
    overrides: list[str] | None,
    flags: Mapping[str, object],
    *,
    layer: str | None = None,
    paper: bool,
    resumed: Path | None,
    start: "BareStart | None" = None,
) -> "RunSettings":
    """Return a run's settings: the file, `--set` and options over the defaults, or over those of the resumed run."""
    from hifihr_core.config import find_config, load_settings, named_layers
    from hifihr_core.config.tree import RunSettings

    file = find_config(config) if config else None
    preset = resumed / "config.toml" if resumed and (resumed / "config.toml").exists() else None
    chosen = [getattr(named_layers, name) for name in ("PAPER" if paper else None, layer) if name]
    chosen += [start.keeps] if start else []
    base = start.layer if start else named_layers.EMPTY
    return load_settings(
        RunSettings, preset=preset, file=file, overrides=overrides or (), flags=flags, layers=chosen, start=base
    )


def choose_folder(out: Path | None, name: str, *, resume: bool) -> Path:
    """Return the run folder: `out`, or a new one. Raises: ConfigError if --resume or several processes need `out`."""
    from hifihr_core.errors import ConfigError

    if out is not None:
        return out
    if resume:
        raise ConfigError(f"--resume needs the run's folder; name it with --out, such as --out runs/{name}-1")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("several processes need one run folder; name it with --out")
    number = next(n for n in range(1, 1_000_000) if not (Path("runs") / f"{name}-{n}").exists())
    return Path("runs") / f"{name}-{number}"


def run_training(
    settings: "RunSettings", folder: Path, *, json: bool, notes: Sequence[str] = (), **options: Any
) -> None:
    """Train with progress on stderr; print the path of the weights, or with `json` the whole summary, on stdout.

    `notes` are shown after the preparations, so that a run that cannot start shows only its error.
    """
    from hifihr_core.training.loop import PREPARING, fit

    is_first = int(os.environ.get("RANK", "0")) == 0
    hints = [
        *notes,
        f"run folder: {folder}; its report.html shows curves, sample pictures and settings",
        f"to watch the run: `tensorboard --logdir {folder}`",
    ] * is_first
    with progress("training") as report:

        def give_hints() -> None:
            while hints:
                say(hints.pop(0), kind="note")

        def on_note(note: str) -> None:
            give_hints()
            say(note, kind="note")

        def on_progress(now: "Progress") -> None:
            if now.doing != PREPARING:
                give_hints()
            report(int(1000 * now.done), 1000, describe(now))

        summary = fit(
            settings,
            folder,
            on_progress=on_progress,
            on_note=on_note,
            **options,
        )
    if is_first:
        show(summary, json)


def show(summary: "Summary", json: bool) -> None:
    """Print the summary of a run: skipped samples and steps, scores, and the path of the weights."""
    if json:
        emit_json(asdict(summary))
        return
    if summary.samples_left_out:
        say(f"samples skipped because of non-finite values: {summary.samples_left_out}", kind="warning")
    if summary.steps_left_out:
        say(f"steps skipped because of non-finite values: {summary.steps_left_out}", kind="warning")
    scores = ", ".join(f"{name} {value:.4g}" for name, value in summary.validation.items())
    steps = f"{summary.steps} step{'s' * (summary.steps != 1)}"
    say(f"{steps} in {summary.minutes:.1f} min{'; ' + scores if scores else ''}", kind="done")
    emit(str(summary.weights))


def describe(now: "Progress") -> str:
    """Return a one-line progress report."""
    if now.loss is None and now.doing != "training":
        return f"step {now.step:,}  {now.doing}" if now.step else now.doing
    loss = "not finite" if now.loss is None else f"{now.loss:.4g}"
    images_per_s = f"{now.images_per_s:.{int(now.images_per_s < 10)}f}"
    line = f"step {now.step:,}  epoch {now.epoch:.2f}  loss {loss}  {images_per_s} images/s"
    if now.remaining_s is None:
        return line
    minutes, seconds = divmod(int(now.remaining_s), 60)
    return f"{line}  {minutes // 60}:{minutes % 60:02}:{seconds:02} left"
