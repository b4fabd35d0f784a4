"""One process of a test run under torchrun; not a test itself.

Usage: ddp_worker.py SETTINGS.toml FOLDER [--resume]; the variable KILL_AT names a step at which rank 1 dies, once.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from hifihr_core.config import load_settings
from hifihr_core.config.tree import RunSettings
from hifihr_core.training import loop


def main() -> None:
    torch.set_num_threads(1)
    settings, folder = load_settings(RunSettings, file=Path(sys.argv[1])), Path(sys.argv[2])
    kill_at = int(os.environ.get("KILL_AT", "0"))
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    if kill_at and not restarted and os.environ["RANK"] == "1":
        step = loop.train_step

        def dying_step(*arguments, **options):
            if options["step"] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments, **options)

        loop.train_step = dying_step
    loop.fit(settings, folder, resume="--resume" in sys.argv, device="cpu")


if __name__ == "__main__":
    main()
