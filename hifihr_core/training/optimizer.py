"""Optimisers, learning-rate schedules, averages of weights, and the choice of the parts that are trained."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hifihr_core.config.tree import TrainSettings
from hifihr_core.lifting.schedules import average_decay, half_cosine, move_towards, warm_up
from hifihr_core.models.contract import APPEARANCE, ImageNetwork

#: A function that returns the factor of the learning rate, given the progress of a run: the number of steps, the number
#: of epochs (with fraction), and the fraction of the whole run in [0, 1].
Schedule = Callable[[int, float, float], float]


def choose_parts(network: ImageNetwork, parts: str, *, renders: bool = True) -> None:
    """Freeze the parts of a network that are not trained.

    If `parts` is "texture", only the texture and light heads are trained; if it is "all", everything is. In a run that
    does not render, these two heads are never trained.
    """
    part_of = network.part_of()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(renders if part_of[name] in APPEARANCE else parts == "all")


def set_training(network: ImageNetwork, parts: str, *, freeze_statistics: bool = False) -> None:
    """Put the trained parts in training mode; batch statistics of the others do not change.

    With `freeze_statistics`, no batch statistics change.
    """
    network.train(parts == "all")
    if parts == "texture":
        for part, modules in network.parts().items():
            for module in modules:
                module.train(part in APPEARANCE)
    if freeze_statistics:
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def build_optimizer(network: ImageNetwork, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return the optimiser of all parameters that are not frozen; biases and normalisation have no weight decay.

    Each group has its full learning rate in "base_lr", which the schedule multiplies, and the names of its parameters
    in "names", by which a checkpoint identifies them.
    """
    groups: dict[tuple[bool, bool], dict[str, object]] = {}
    part_of = network.part_of()
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        key = (part_of[name] == "backbone", parameter.ndim > 1)
        group = groups.setdefault(key, {"params": [], "names": []})
        group["params"].append(parameter)  # type: ignore[attr-defined]
        group["names"].append(name)  # type: ignore[attr-defined]
    for (in_backbone, decays), group in groups.items():
        group["base_lr"] = settings.lr * (settings.backbone_lr_factor if in_backbone else 1.0)
        group["weight_decay"] = settings.weight_decay if decays and settings.optimizer == "adamw" else 0.0
    build = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[settings.optimizer]
    return build(list(groups.values()), lr=settings.lr)


def cosine(settings: TrainSettings) -> Schedule:
    """Return a schedule that decays from 1 to `lr_end` along half a cosine over the whole run."""
    return lambda step, epoch, part: half_cosine(part, end=settings.lr_end)


def steps(settings: TrainSettings) -> Schedule:
    """Return a schedule that begins at 1 and is multiplied by `lr_gamma` at every milestone, as in the paper."""
    return lambda step, epoch, part: settings.lr_gamma ** sum(epoch >= m for m in settings.lr_milestones)


def constant(settings: TrainSettings) -> Schedule:
    """Return a schedule that is always 1."""
    return lambda step, epoch, part: 1.0


SCHEDULES: dict[str, Callable[[TrainSettings], Schedule]] = {"cosine": cosine, "steps": steps, "constant": constant}


def set_lr(optimizer: torch.optim.Optimizer, settings: TrainSettings, *, step: int, epoch: float, part: float) -> float:
    """Set the learning rate of every group for this step, and return the factor by which the full rates are multiplied.

    The factor is that of the schedule, times a linear warm-up over the first steps.
    """
    factor = SCHEDULES[settings.schedule](settings)(step, epoch, part) * warm_up(step, settings.warmup_steps)
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return factor


class MovingAverage:
    """Exponential moving average of a network's weights and statistics.

    `decay` is the share of the old average that each update keeps; in the first steps it is smaller, as in timm.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards the network's current state; integers, such as batch counts, are copied."""
        move_towards(self.state, network.state_dict(), decay=average_decay(step, self.decay))


def clip_gradients(parameters: Iterable[nn.Parameter], clip_norm: float) -> torch.Tensor:
    """Clip gradients to the norm `clip_norm` (0: do not clip), and return their norm before clipping."""
    limit = clip_norm if clip_norm > 0 else math.inf
    return torch.nn.utils.clip_grad_norm_(list(parameters), limit)
