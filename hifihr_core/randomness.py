"""Random numbers as a pure function of (seed, epoch, name): no state, any order of calls, any number of workers.

Every number is a hash of such a tuple (splitmix64, Steele et al. 2014), so a sample is augmented identically in every
worker, order, batch and version of numpy.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from jaxtyping import Float, UInt64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def mix(bits: UInt64[np.ndarray, "*N"]) -> UInt64[np.ndarray, "*N"]:
    """Apply splitmix64's final step to each value: a bijection that makes nearby values unrelated."""
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
    return bits ^ (bits >> np.uint64(31))


def name_bits(name: str) -> int:
    """Return a 64-bit hash of a name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def stream_bits(*parts: int | str) -> UInt64[np.ndarray, "1"]:
    """Return a 64-bit hash of a tuple of numbers and names, such as (seed, epoch, "order")."""
    state = np.zeros(1, np.uint64)
    for part in parts:
        value = name_bits(part) if isinstance(part, str) else part % (1 << 64)
        state = mix((state + _GOLDEN) ^ np.uint64(value))
    return state


def shuffled(length: int, *parts: int | str) -> np.ndarray:
    """Return a permutation of ``range(length)`` that depends only on `parts`."""
    ranks = mix(stream_bits(*parts) + np.arange(1, length + 1, dtype=np.uint64) * _GOLDEN)
    return np.argsort(ranks, kind="stable")


def uniforms(keys: Sequence[str], count: int, *parts: int | str) -> Float[np.ndarray, "B count"]:
    """Return `count` uniform numbers in [0, 1) for each key.

    Row b depends only on ``keys[b]`` and `parts`; a larger `count` appends columns without changing others.
    """
    states = mix(stream_bits(*parts) ^ np.array([name_bits(key) for key in keys], dtype=np.uint64))
    columns = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    return (mix(states[:, None] + columns) >> np.uint64(11)) * 2.0**-53
