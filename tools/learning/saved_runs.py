"""What the training tools do after each step: print the loss occasionally, and write the average."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)


@dataclass
class SavedRun(Generic[Network]):
    """Writes the average of a run every `save_every_s` seconds, so that a stopped run leaves its latest weights.

    `write(network, facts)` writes the file; its facts are `facts`, the steps, and the means that `score` measures.
    """

    write: Callable[[Network, Mapping[str, str]], None]
    score: Callable[[Network], Mapping[str, float]]
    facts: Mapping[str, str]
    print_every: int
    save_every_s: float
    steps: int = 0
    began: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    def on_step(self, step: int, terms: Mapping[str, float], average: Network) -> None:
        """Record that a step is done."""
        self.steps = step + 1
        if step % self.print_every == 0:
            self._say(step, ", ".join(f"{name} {value:.3f}" for name, value in terms.items()))
        if time.monotonic() - self.saved > self.save_every_s:
            self.saved = time.monotonic()
            self.save(average)

    def save(self, average: Network) -> None:
        """Score and write a network."""
        found = json.dumps({name: round(value, 4) for name, value in self.score(average).items()})
        self.write(average, {**self.facts, "steps": str(self.steps), "score": found})
        self._say(self.steps, found)

    def _say(self, step: int, text: str) -> None:
        print(f"step {step}, {(time.monotonic() - self.began) / 60:.1f} min: {text}", flush=True)
