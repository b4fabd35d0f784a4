"""Train in several processes, started by torchrun: the rank and device of each, and sums over all of them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.rendezvous import rendezvous

from hifihr_core.errors import ConfigError
from hifihr_core.machine.device import choose_device
from hifihr_core.stream.order import Share

#: How long a process waits for the others before it gives up (and torchrun restarts the run).
PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class World:
    """This process, one of the `size` processes of a run: its number `rank` and its device.

    Only rank 0 writes files and prints.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Return whether this process is the one that writes files and prints."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        """Return this process's share of the samples of every step."""
        return Share(self.rank, self.size)

    def sum(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum of each scalar over all processes, using a single message; the sums have no gradients."""
        if self.size == 1:
            return {name: value.detach() for name, value in values.items()}
        stacked = torch.stack([value.detach().double() for value in values.values()])
        if self.device.type == "mps":  # pragma: no cover - MPS has no float64
            stacked = stacked.float()
        dist.all_reduce(stacked)
        return dict(zip(values, stacked.to(next(iter(values.values())).dtype).unbind(), strict=True))

    def part_of(self, batch_size: int) -> int:
        """Return the number of this process's samples in a batch of `batch_size` samples over all processes.

        Raises: ConfigError if `batch_size` is not a multiple of the number of processes.
        """
        if batch_size % self.size:
            raise ConfigError(
                f"train.batch_size: found {batch_size}, expected a multiple of the number of processes, {self.size}"
            )
        return batch_size // self.size

    def wait(self) -> None:
        """Wait until every process has called this."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def join_world(device: str = "auto") -> Iterator[World]:
    """Join the processes that torchrun started, while the body runs; without torchrun there is only this process.

    Processes on CUDA use the device of their local rank and communicate with NCCL, others with Gloo.
    Raises: DeviceError if the device does not exist.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = choose_device(device, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
    if size == 1:
        yield World(chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    store, rank, size = next(iter(rendezvous("env://", timeout=PATIENCE)))
    # torchrun may reuse its store after a restart; without a separate name, a new attempt would find old addresses.
    store = dist.PrefixStore(f"life-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield World(chosen, rank, size)
    finally:
        dist.destroy_process_group()


def was_restarted() -> bool:
    """Return whether torchrun or Slurm has started this job again after a failure."""
    return any(int(os.environ.get(name) or 0) > 0 for name in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"))
