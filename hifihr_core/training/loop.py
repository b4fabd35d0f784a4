"""The training loop."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from hifihr_core.config.tree import RunSettings
from hifihr_core.errors import HifihrError
from hifihr_core.models.checkpoint import describe_weights, save_weights
from hifihr_core.training.distributed import join_world, was_restarted
from hifihr_core.training.guard import Guard
from hifihr_core.training.journal import Journal, check_folder, describe_run
from hifihr_core.training.optimizer import set_lr, set_training
from hifihr_core.training.samples_page import save_pictures
from hifihr_core.training.setup import Run, set_up
from hifihr_core.training.state import STATE_FILE, Position, load_state, save_state
from hifihr_core.training.step import train_step
from hifihr_core.training.validation import validate

NEWEST = Path("checkpoints", "newest.safetensors")
BEST = Path("checkpoints", "best.safetensors")


@dataclass(frozen=True)
class Progress:
    """What a run reports while it goes; `done` is the part of the whole run in [0, 1]."""

    step: int
    epoch: float
    done: float
    loss: float
    images_per_s: float
    remaining_s: float


@dataclass(frozen=True)
class Summary:
    """How a run ended: its folder, its weights, and the last validation."""

    folder: Path
    weights: Path
    steps: int
    epochs: float
    minutes: float
    validation: dict[str, float]
    samples_left_out: int


OnProgress = Callable[[Progress], None]
OnNote = Callable[[str], None]


def fit(
    settings: RunSettings,
    folder: Path,
    *,
    init: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    on_progress: OnProgress = lambda progress: None,
    on_note: OnNote = lambda note: None,
) -> Summary:
    """Train as `settings` say and leave everything in `folder`; see docs/supervision.md for the levels.

    `init` is a weight file to start from; `resume` goes on where the run in `folder` stopped, to the same bits on a
    CPU. Under torchrun, every process calls this. Raises: HifihrError for everything that a user can mend; what was
    learnt until then is saved.
    """
    resume = resume or was_restarted()
    with join_world(device) as world:
        check_folder(folder, settings, resume=resume)
        run = set_up(settings, folder, world, init=init)
        position = Position()
        if resume and (folder / STATE_FILE).exists():
            position = load_state(folder / STATE_FILE, run.network, run.optimizer, run.average, settings)
            run.batches.load_state_dict({"seed": settings.train.seed, "epoch": position.epoch, "start": position.start})
        world.wait()  # all have looked into the folder
        if world.is_first:
            describe_run(folder, settings, world)
            for note in run.notes:
                on_note(note)
        with Journal(folder, from_step=position.step, is_writer=world.is_first) as journal:
            try:
                return train(run, position, journal, on_progress if world.is_first else lambda progress: None)
            except (HifihrError, KeyboardInterrupt):
                with suppress(HifihrError):  # the first error is the one to tell
                    save(run, position)
                raise


def train(run: Run, position: Position, journal: Journal, on_progress: OnProgress) -> Summary:
    """Take steps until the run is done: this is the whole of training."""
    settings = run.settings.train
    guard, clock, scores = Guard(settings.nan_limit), Clock(position), {}
    set_training(run.network, settings.parts)
    while not is_done(run, position):
        for batch in run.batches:
            epoch = epochs_of(run, position)
            set_lr(run.optimizer, settings, step=position.step, epoch=epoch, part=part_done(run, position))
            result = train_step(run, batch, run.plan.weights_at(epoch), guard, step=position.step)
            if result is not None and run.average is not None:
                run.average.update(run.network, position.step)
            move_on(run, position, clock)
            if result is not None and position.step % settings.log_every_steps == 0:
                journal.write("train", position.step, epoch=epoch, lr=current_lr(run), **result.row())
                on_progress(clock.report(run, position, result.loss))
            if is_time(position.step, settings.pictures_every_steps) and run.world.is_first:
                save_pictures(run, batch, position.step)
            if is_time(position.step, settings.save_every_steps):
                save(run, position)
            if is_done(run, position):
                break
        follow(run, position)
        if is_done(run, position) or is_time(position.epoch, settings.validate_every):
            scores = check(run, position, journal)
            save(run, position)
    return Summary(
        folder=run.folder,
        weights=run.folder / NEWEST,
        steps=position.step,
        epochs=epochs_of(run, position),
        minutes=position.elapsed_s / 60,
        validation=scores,
        samples_left_out=guard.samples_left_out,
    )


class Clock:
    """Measures the time of steps, without the pauses between two lives of a run."""

    def __init__(self, position: Position) -> None:
        self._last = time.perf_counter()
        self._mark_s, self._mark_step = position.elapsed_s, position.step

    def tick(self, position: Position) -> None:
        """Add the time since the last tick to the run's."""
        now = time.perf_counter()
        position.elapsed_s += now - self._last
        self._last = now

    def report(self, run: Run, position: Position, loss: float) -> Progress:
        """Return where the run stands; the speed is that since the last report."""
        seconds = max(position.elapsed_s - self._mark_s, 1e-9)
        images = (position.step - self._mark_step) * run.settings.train.batch_size
        self._mark_s, self._mark_step = position.elapsed_s, position.step
        done = part_done(run, position)
        remaining_s = position.elapsed_s * (1 - done) / done if done > 0 else 0.0
        return Progress(position.step, epochs_of(run, position), done, loss, images / seconds, remaining_s)


def follow(run: Run, position: Position) -> None:
    """Take the position in the data over from the stream."""
    state = run.batches.state_dict()
    position.epoch, position.start = state["epoch"], state["start"]


def move_on(run: Run, position: Position, clock: Clock) -> None:
    """Count a step, whether or not it was taken."""
    position.step += 1
    follow(run, position)
    clock.tick(position)
    if run.settings.train.max_minutes and run.world.size > 1:  # all must stop at the same step
        mean_s = run.world.sum({"s": torch.tensor(position.elapsed_s, device=run.world.device)})["s"] / run.world.size
        position.elapsed_s = float(mean_s)


def epochs_of(run: Run, position: Position) -> float:
    """Return the epochs so far, with the fraction of the present one."""
    return position.epoch + position.start / (len(run.batches) * run.settings.train.batch_size)


def part_done(run: Run, position: Position) -> float:
    """Return the part of the whole run that is behind it, by whichever of its ends is nearest."""
    settings = run.settings.train
    parts = [epochs_of(run, position) / settings.epochs]
    if settings.max_steps:
        parts.append(position.step / settings.max_steps)
    if settings.max_minutes:
        parts.append(position.elapsed_s / 60 / settings.max_minutes)
    return min(1.0, max(parts))


def is_done(run: Run, position: Position) -> bool:
    """Return whether the run has come to one of its ends."""
    return part_done(run, position) >= 1.0


def is_time(count: int, every: int) -> bool:
    """Return whether something is due that happens at every `every`-th count; 0 means never."""
    return every > 0 and count % every == 0


def current_lr(run: Run) -> float:
    """Return the learning rate of the last step, that of the heads."""
    return max(float(group["lr"]) for group in run.optimizer.param_groups)


def check(run: Run, position: Position, journal: Journal) -> dict[str, float]:
    """Validate, write the scores down, and keep the weights if they are the best so far.

    "Best" is the loss that the level itself can see, so that no forbidden label chooses weights.
    """
    scores = validate(run, epoch=epochs_of(run, position))
    if not scores:
        return scores
    journal.write("validation", position.step, epoch=epochs_of(run, position), **scores)
    if position.best is None or scores["loss"] < position.best:
        position.best = scores["loss"]
        write_weights(run, BEST, position.step)
    return scores


def save(run: Run, position: Position) -> None:
    """Write the newest weights, and then the state, each whole or not at all."""
    write_weights(run, NEWEST, position.step)
    if run.world.is_first:
        save_state(run.folder / STATE_FILE, run.network, run.optimizer, run.average, position, run.settings)


def write_weights(run: Run, name: Path, step: int) -> None:
    """Write a weight file from the first process: the averaged weights where the run has them."""
    if run.world.is_first:
        state = run.network.state_dict() if run.average is None else run.average.state
        save_weights(run.folder / name, state, describe_weights(run.settings, run.hand, step=step))
