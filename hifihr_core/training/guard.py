"""Find samples and steps with non-finite values, skip and count them, and stop a run that has too many in a row."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from hifihr_core.errors import FindingsError
from hifihr_core.losses.terms import Ratio
from hifihr_core.records import Batch

#: Number of keys of broken samples to remember.
KEYS_KEPT = 64


def broken_samples(batch: Batch) -> Bool[Tensor, " B"]:
    """Return which samples have a non-finite number in the image, in K or in a label."""
    broken = ~batch.image.flatten(1).isfinite().all(dim=1) | ~batch.K.flatten(1).isfinite().all(dim=1)
    for values in batch.labels.values():
        if values.is_floating_point():
            broken = broken | ~values.reshape(len(batch), -1).isfinite().all(dim=1)
    return broken


def leave_out(batch: Batch, broken: Bool[Tensor, " B"]) -> Batch:
    """Return the batch with broken samples made black and their labels removed; ``present["image"]`` marks the intact
    samples.
    """

    def blank(values: Tensor, fill: Tensor | float = 0.0) -> Tensor:
        shape = (-1, *[1] * (values.ndim - 1))
        return torch.where(broken.view(shape), torch.as_tensor(fill, dtype=values.dtype, device=values.device), values)

    present = {name: has & ~broken for name, has in batch.present.items()} | {"image": ~broken}
    return replace(
        batch,
        image=blank(batch.image),
        K=blank(batch.K, torch.eye(3, device=batch.K.device)),
        labels={name: blank(values) for name, values in batch.labels.items()},
        present=present,
    )


@dataclass
class Guard:
    """Counts skipped samples and steps; the run stops after `limit` steps in a row with non-finite values.

    `keys` are the keys of the latest samples with non-finite values; `is_bad` is whether the current step has any.
    """

    limit: int
    samples_left_out: int = 0
    steps_left_out: int = 0
    in_a_row: int = 0
    is_bad: bool = False
    keys: list[str] = field(default_factory=list)

    def inspect(self, batch: Batch) -> Batch:
        """Begin a step: return its batch with the broken samples blanked (`leave_out`), and count them.

        Raises: FindingsError if this is the last of `limit` steps in a row with non-finite values.
        """
        if not self.is_bad:
            self.in_a_row = 0
        self.is_bad = False
        broken = broken_samples(batch)
        if not broken.any():
            return batch
        self.samples_left_out += int(broken.sum())
        self._count(key for key, bad in zip(batch.keys, broken.tolist(), strict=True) if bad)
        return leave_out(batch, broken)

    def skip_step(self, keys: Iterable[str]) -> None:
        """Count a skipped step; `keys` are those of its samples.

        Raises: FindingsError if this is the last of `limit` steps in a row with non-finite values.
        """
        self.steps_left_out += 1
        self._count(keys)

    def _count(self, keys: Iterable[str]) -> None:
        self.keys = [*self.keys, *keys][-KEYS_KEPT:]
        if self.is_bad:  # a step with broken samples that is skipped too
            return
        self.is_bad = True
        self.in_a_row += 1
        if self.in_a_row >= self.limit:
            latest = ", ".join(self.keys[-8:])
            place = f" (the latest samples: {latest})" if latest else ""
            remedy = "inspect these samples and continue with --resume, or " if latest else ""
            raise FindingsError(
                f"training stopped: steps in a row with non-finite numbers: {self.in_a_row}{place}; "
                f"{remedy}start a new run with a lower train.lr"
            )


def guilty(batch: Batch, ratios: Mapping[str, Ratio]) -> tuple[str, ...]:
    """Return the keys of the samples with a non-finite loss term."""
    bad = torch.stack([~ratio.total.isfinite() for ratio in ratios.values()]).any(dim=0).tolist()
    return tuple(key for key, is_bad in zip(batch.keys, bad, strict=True) if is_bad)
