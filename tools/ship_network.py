"""Turn the weights of a training run into the image network that ships with the package: 16-bit floats, licence class
free.

    python tools/ship_network.py runs/shipped/checkpoints/newest.safetensors

Run benchmarks/shipped_network.py afterwards; docs/models.md describes the model.
"""

import argparse
from pathlib import Path

from hifihr_core.errors import ConfigError
from hifihr_core.models import shipped
from hifihr_core.models.checkpoint import load_checkpoint, save_weights

TARGET = Path(shipped.__file__).with_name("data") / shipped.IMAGE_NETWORK
MAX_BYTES = 16_000_000


def main() -> None:
    """Read, check, write."""
    parser = argparse.ArgumentParser(description="Ship the weights of a training run.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    trained = load_checkpoint(options.weights)
    if trained.hand.licence != "free" or trained.settings.data.train != ("synth",):
        raise ConfigError(f"{options.weights}: only weights learnt from the free hand on synth may ship")
    facts = {**trained.facts, "data": "synthetic pictures of the free hand", "licence": "free"}
    save_weights(options.out, trained.network.state_dict(), facts, half=True)
    size = options.out.stat().st_size
    if size > MAX_BYTES:
        raise ConfigError(f"{options.out}: {size:,} bytes, expected at most {MAX_BYTES:,}")
    print(f"{options.out.name}: {size / 1e6:.1f} MB, {trained.step} steps")


if __name__ == "__main__":
    main()
