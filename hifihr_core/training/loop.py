"""The training loop: alternate between steps and validations, report progress, and save the state."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from hifihr_core.config.tree import RunSettings
from hifihr_core.errors import HifihrError
from hifihr_core.folder_lock import lock_folder
from hifihr_core.models.checkpoint import BEST, NEWEST, START, describe_weights, save_weights
from hifihr_core.records import Batch
from hifihr_core.training.distributed import World, join_world, was_restarted
from hifihr_core.training.folder.report_page import write_report
from hifihr_core.training.folder.run_journal import Journal, check_folder, describe_run, first_start, remove_leftovers
from hifihr_core.training.folder.samples_page import save_pictures
from hifihr_core.training.guard import Guard
from hifihr_core.training.optimizer import set_lr, set_training
from hifihr_core.training.run_progress import Clock, OnNote, OnProgress, Progress
from hifihr_core.training.setup import Run, set_up
from hifihr_core.training.state import STATE_FILE, Position, load_state, save_state
from hifihr_core.training.step import train_step
from hifihr_core.training.stopping import Stop, polite_stop
from hifihr_core.training.validation import validate


@dataclass(frozen=True)
class Summary:
    """The outcome of a run: its folder, its newest weights, and the scores of the last validation.

    `epochs` includes the fraction of the last epoch; `minutes` excludes pauses before the run was resumed.
    `samples_left_out` and `steps_left_out` are the numbers of samples and steps skipped because of non-finite values
    since the run was started or last resumed.
    """

    folder: Path
    weights: Path
    steps: int
    epochs: float
    minutes: float
    validation: dict[str, float]
    samples_left_out: int
    steps_left_out: int


#: What a run does before its folder is made.
PREPARING = "preparing data and network"


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
    """Train according to `settings` and write all results to `folder`.

    `init` is a weight file or a run folder to start from. `resume` continues the run in `folder` where it stopped; on a
    CPU, the result is bit for bit that of an uninterrupted run. Under torchrun, every process calls this. The first
    Ctrl-C or SIGTERM ends the run after the current step and saves its state; the second ends it at once. The
    supervision levels are explained in docs/supervision.md.
    Raises: HifihrError for everything that a user can fix; KeyboardInterrupt if a signal ended the run.
    """
    resume = resume or was_restarted()
    with join_world(device) as world, ExitStack() as owned:
        if folder.exists():
            owned.enter_context(own_folder(folder, world))
        check_folder(folder, settings, resume=resume)
        on_progress = on_progress if world.is_first else lambda progress: None
        on_progress(Progress(PREPARING))
        saved = resume and (folder / STATE_FILE).exists()
        run = set_up(settings, folder, world, init=init, blank=saved)
        position = restore(run) if saved else Position()
        run.started_from = run.started_from or first_start(folder)
        world.wait()  # all processes have checked the folder
        if not folder.exists():  # a run that cannot start leaves nothing behind
            owned.enter_context(own_folder(folder, world))
        if world.is_first:
            describe_run(folder, settings, world, started_from=run.started_from)
            if run.start is not None and not saved:
                write_weights(run, START, 0)
            for note in run.notes:
                on_note(note)
        with Journal(folder, from_step=position.step, is_writer=world.is_first) as journal, polite_stop() as stop:
            report = Reports(on_progress, on_note if world.is_first else lambda note: None)
            return train(run, position, journal, report, stop)


@contextmanager
def own_folder(folder: Path, world: World) -> Iterator[None]:
    """Lock the folder against other training runs while the body runs, and remove partial files of killed runs."""
    if not world.is_first:
        yield
        return
    with lock_folder(folder, what="another training run"):
        remove_leftovers(folder)
        yield


@dataclass(frozen=True)
class Reports:
    """The functions that are called with a run's progress, and with its notes (lines for the user)."""

    on_progress: OnProgress
    on_note: OnNote


def restore(run: Run) -> Position:
    """Load the saved state of a run, and return the position at which it stopped."""
    position = load_state(run.folder / STATE_FILE, run.network, run.optimizer, run.average, run.settings)
    state = {"seed": run.settings.train.seed, "epoch": position.epoch, "start": position.start}
    run.batches.load_state_dict(state)
    return position


def train(run: Run, position: Position, journal: Journal, report: Reports, stop: Stop) -> Summary:
    """Train until the run is done; if a HifihrError ends it early, the state is saved first."""
    guard = Guard(run.settings.train.nan_limit)
    try:
        scores = take_steps(run, position, journal, report, stop, guard)
    except HifihrError:
        with suppress(HifihrError):  # raise the first error
            save(run, position)
        raise
    return Summary(
        folder=run.folder,
        weights=run.folder / NEWEST,
        steps=position.step,
        epochs=epochs_of(run, position),
        minutes=position.elapsed_s / 60,
        validation=scores,
        samples_left_out=guard.samples_left_out,
        steps_left_out=guard.steps_left_out,
    )


def take_steps(
    run: Run, position: Position, journal: Journal, report: Reports, stop: Stop, guard: Guard
) -> dict[str, float]:
    """Alternate between steps and validations until the run is done; return the scores of the last validation.

    Raises: KeyboardInterrupt if a signal asked the run to stop.
    """
    settings, scores = run.settings.train, dict[str, float]()
    clock, started = Clock(position, settings.batch_size), part_done(run, position)
    set_training(run.network, settings.parts, freeze_statistics=settings.freeze_statistics)
    say_doing(run, position, report, "waiting for the first batch")
    while True:
        if is_validation_due(run, position):
            say_doing(run, position, report, "validating")
            scores = check(run, position, journal, stop)
            save(run, position)
        leave_if_asked(run, position, report, stop)
        if is_done(run, position):
            return scores
        for batch in batches_until_asked(run, stop):
            epoch = epochs_of(run, position)
            set_lr(run.optimizer, settings, step=position.step, epoch=epoch, part=part_done(run, position))
            result = train_step(run, batch, run.plan.weights_at(epoch), guard, step=position.step)
            if result is not None and run.average is not None:
                run.average.update(run.network, position.step)
            move_on(run, position, clock)
            if result is not None and position.step % settings.log_every_steps == 0:
                journal.write("train", position.step, epoch=epoch, lr=current_lr(run), **result.row())
            report_step(run, position, clock, report, result.loss if result else None, started)
            if is_time(position.step, settings.pictures_every_steps) and run.world.is_first:
                save_pictures(run, batch, position.step)
            if is_time(position.step, settings.save_every_steps):
                save(run, position)
            leave_if_asked(run, position, report, stop)
            if is_done(run, position):
                break
        follow(run, position)


def batches_until_asked(run: Run, stop: Stop) -> Iterator[Batch]:
    """Yield the remaining batches of this epoch.

    A signal that asks the run to stop may also end the workers; their errors are ignored then.
    """
    try:
        yield from run.batches
    except RuntimeError:
        if stop.asked is None:
            raise


def is_validation_due(run: Run, position: Position) -> bool:
    """Return whether a validation is due: after every `train.validate_every` epochs and at the end of the run.

    After a validation, it is not due again before the next step.
    """
    if position.validated_step == position.step:
        return False
    at_border = position.step > 0 and position.start == 0
    return is_done(run, position) or (at_border and is_time(position.epoch, run.settings.train.validate_every))


def leave_if_asked(run: Run, position: Position, report: Reports, stop: Stop) -> None:
    """If a signal asked the run to stop, save the state and raise KeyboardInterrupt."""
    if not stop.agreed(run.world):
        return
    save(run, position)
    report.on_note(
        f"stopped after step {position.step:,}, and the state is saved; continue with --resume --out {run.folder}"
    )
    raise KeyboardInterrupt


def say_doing(run: Run, position: Position, report: Reports, doing: str) -> None:
    """Report what the run is doing between steps."""
    report.on_progress(Progress(doing, position.step, epochs_of(run, position), part_done(run, position)))


def report_step(
    run: Run, position: Position, clock: Clock, report: Reports, loss: float | None, started: float
) -> None:
    """Report a step; on a CPU, also warn once if the run cannot finish within a day.

    `started` is the fraction of the run that was done when it was started or resumed.
    """
    done = part_done(run, position)
    report.on_progress(clock.report(position, epoch=epochs_of(run, position), done=done, loss=loss))
    warning = clock.warning(position, done=done, done_at_start=started)
    if warning and run.world.device.type == "cpu":
        report.on_note(warning)


def follow(run: Run, position: Position) -> None:
    """Copy the epoch, and the number of samples used in it, from the data stream to the position."""
    state = run.batches.state_dict()
    position.epoch, position.start = state["epoch"], state["start"]


def move_on(run: Run, position: Position, clock: Clock) -> None:
    """Advance the position and the clock by one step, whether it was taken or skipped."""
    position.step += 1
    follow(run, position)
    clock.tick(position)
    if run.settings.train.max_minutes and run.world.size > 1:  # all processes must stop at the same step
        mean_s = run.world.sum({"s": torch.tensor(position.elapsed_s, device=run.world.device)})["s"] / run.world.size
        position.elapsed_s = float(mean_s)


def epochs_of(run: Run, position: Position) -> float:
    """Return the number of epochs so far, including the fraction of the current one."""
    return position.epoch + position.start / (len(run.batches) * run.settings.train.batch_size)


def part_done(run: Run, position: Position) -> float:
    """Return the fraction of the run that is done, in [0, 1]: of its epochs, steps or minutes, whichever is largest."""
    settings = run.settings.train
    parts = [epochs_of(run, position) / settings.epochs]
    if settings.max_steps:
        parts.append(position.step / settings.max_steps)
    if settings.max_minutes:
        parts.append(position.elapsed_s / 60 / settings.max_minutes)
    return min(1.0, max(parts))


def is_done(run: Run, position: Position) -> bool:
    """Return whether the run has reached one of its limits."""
    return part_done(run, position) >= 1.0


def is_time(count: int, every: int) -> bool:
    """Return whether `count` is a multiple of `every`; always False if `every` is 0."""
    return every > 0 and count % every == 0


def current_lr(run: Run) -> float:
    """Return the highest learning rate of any parameter in the last step."""
    return max(float(group["lr"]) for group in run.optimizer.param_groups)


def check(run: Run, position: Position, journal: Journal, stop: Stop) -> dict[str, float]:
    """Validate, record and return the scores, and save the weights as the best ones if they are.

    The best weights have the lowest loss computed from the labels of the supervision level, so that no other label
    influences the choice. If the validation was stopped or no term had data, no weights are saved.
    """
    scores = validate(run, epoch=epochs_of(run, position), stop=stop)
    if scores is None:
        return {}
    position.validated_step = position.step
    if scores:
        journal.write("validation", position.step, epoch=epochs_of(run, position), **scores)
    if "loss" in scores and (position.best is None or scores["loss"] < position.best):
        position.best = scores["loss"]
        write_weights(run, BEST, position.step)
    if run.world.is_first:
        write_report(run.folder)
    return scores


def save(run: Run, position: Position) -> None:
    """Write the newest weights, then the state, each atomically."""
    write_weights(run, NEWEST, position.step)
    if run.world.is_first:
        save_state(run.folder / STATE_FILE, run.network, run.optimizer, run.average, position, run.settings)


def write_weights(run: Run, name: Path, step: int) -> None:
    """Write the weight file `name` to the run folder, with averaged weights if the run has them; only on rank 0."""
    if run.world.is_first:
        state = run.network.state_dict() if run.average is None else run.average.state
        save_weights(
            run.folder / name, state, describe_weights(run.settings, run.hand, step=step, started_from=run.started_from)
        )
