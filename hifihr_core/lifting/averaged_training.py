"""Train a small network for a number of steps or minutes, and keep the moving average of its weights."""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hifihr_core.lifting.schedules import average_decay, half_cosine, move_towards, warm_up

Network = TypeVar("Network", bound=nn.Module)
#: Called after every step with its number, the terms of the loss, and the average so far.
OnStep = Callable[[int, dict[str, float], Network], None]


@dataclass(frozen=True)
class Schedule:
    """Length of a run, warm-up of the learning rates, decay of the average (`ema`), and the maximum gradient norm.

    A run ends after `steps` or `max_minutes`, whichever comes first; by then the learning rates have been annealed.
    """

    steps: int
    max_minutes: float | None
    warmup_steps: int
    ema: float
    most_gradient: float


def train_average(
    network: Network,
    optimizer: torch.optim.Optimizer,
    terms_of_step: Callable[[], Mapping[str, Float[Tensor, ""]]],
    schedule: Schedule,
    on_step: OnStep,
) -> Network:
    """Train `network` in place to minimise the sum of the loss terms; return its average, in evaluation mode.

    `terms_of_step` returns the terms of the next batch; `on_step` is called after every step.
    """
    trained = copy.deepcopy(network.train()).eval()
    mean, new = dict(trained.named_parameters()), dict(network.named_parameters())
    bases = [group["lr"] for group in optimizer.param_groups]
    began = time.monotonic()
    for step in range(schedule.steps):
        done = _share_done(schedule, step, time.monotonic() - began)
        if done >= 1:
            break
        for group, lr in zip(optimizer.param_groups, bases, strict=True):
            group["lr"] = lr * warm_up(step, schedule.warmup_steps) * half_cosine(done)
        terms = terms_of_step()
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), schedule.most_gradient)
        optimizer.step()
        move_towards(mean, new, decay=average_decay(step, schedule.ema))
        on_step(step, {name: value.item() for name, value in terms.items()}, trained)
    return trained


def _share_done(schedule: Schedule, step: int, seconds: float) -> float:
    by_steps = step / schedule.steps
    return by_steps if schedule.max_minutes is None else max(by_steps, seconds / 60 / schedule.max_minutes)
