"""Marks on the skin, as fields from 0 to about 1 over the texels: creases, wrinkles, veins, spots, noise."""

import numpy as np
from skin.anatomy import Anatomy, smoothstep

_LONG = ("index", "middle", "ring", "pinky")


def noise(position: np.ndarray, wavelength_mm: float, seed: int, waves: int = 48) -> np.ndarray:
    """Return a smooth random function of position, mean 0, standard deviation about 1: a sum of random plane waves."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(waves, 3))
    directions *= 2 * np.pi / wavelength_mm / np.linalg.norm(directions, axis=1, keepdims=True)
    directions *= rng.uniform(0.6, 1.5, (waves, 1))
    phases = rng.uniform(0, 2 * np.pi, waves)
    total = np.zeros(len(position))
    for direction, phase in zip(directions, phases, strict=True):
        total += np.cos(position @ direction + phase)
    return total * np.sqrt(2 / waves)


def finger_creases(a: Anatomy) -> np.ndarray:
    """Return the creases on the palmar side of the fingers: two at PIP, one at DIP and base, two on the thumb."""
    lines = np.zeros(len(a.position))
    wave = 0.5 * noise(a.position, 9.0, 11)
    for finger in _LONG:
        here = a.on_finger(finger) * a.palm
        at = a.along(f"{finger}_pip")
        lines = np.maximum(lines, here * np.maximum(_line(at + wave + 1.1, 0.55), 0.8 * _line(at + wave - 1.2, 0.5)))
        lines = np.maximum(lines, 0.85 * here * _line(a.along(f"{finger}_dip") + wave, 0.55))
        base = 0.5 * np.linalg.norm(a.joint(f"{finger}_pip") - a.joint(f"{finger}_mcp"))
        lines = np.maximum(lines, here * _line(a.along(f"{finger}_mcp") - base + wave, 0.6))
    thumb = a.on_finger("thumb") * a.palm
    at = a.along("thumb_ip")
    lines = np.maximum(lines, thumb * np.maximum(_line(at + wave + 0.9, 0.55), 0.7 * _line(at + wave - 1.0, 0.5)))
    return np.maximum(lines, 0.8 * thumb * _line(a.along("thumb_mcp") + wave, 0.65))


def palm_creases(a: Anatomy) -> np.ndarray:
    """Return the lines of the palm: distal and proximal transverse, the one around the thumb's ball, the wrist's."""
    index, middle, ring, pinky = (a.joint(f"{f}_mcp")[:2] for f in _LONG)
    curves = (
        (
            1.0,
            (_by(pinky, -9, 8), _by(pinky, 4, 4), _by(ring, 1, 6), _by(middle, 1, 3), _by((index + middle) / 2, 1, -9)),
        ),
        (0.9, (_by(index, 10, 17), _by(index, -4, 21), _by(middle, -4, 29), _by(ring, -1, 36), _by(pinky, 8, 37))),
        (1.0, (_by(index, 10, 15), _by(index, -6, 27), _by(middle, 6, 44), (3, -46), (2, -30), (6, -14))),
    )
    wobble = 0.6 * noise(a.position, 14.0, 12)
    palm = (
        a.palm
        * (1 - sum(a.on_finger(f) for f in _LONG).clip(0, 1) ** 2)
        * (1 - smoothstep(0.35, 0.7, a.on_finger("thumb")))
    )
    lines = np.zeros(len(a.position))
    for strength, knots in curves:
        distance, share = _to_curve(a.position[:, :2], np.array(knots, dtype=float))
        fade = smoothstep(0.0, 0.08, share) * smoothstep(1.0, 0.82, share)
        lines = np.maximum(lines, strength * fade * palm * _line(distance + 0.5 * wobble, 0.75))
    for height, strength in ((-5.0, 0.8), (-10.0, 0.55)):
        bow = 0.004 * a.position[:, 0] ** 2
        lines = np.maximum(lines, strength * a.palm * _line(a.position[:, 1] - height + bow + wobble, 0.6))
    return lines


def fine_palm_lines(a: Anatomy) -> np.ndarray:
    """Return the faint network of fine lines on the palm."""
    warp = 1.2 * noise(a.position, 18.0, 21)
    slanted = a.position[:, 0] * 0.6 + a.position[:, 1] * 0.8 + warp
    crossed = a.position[:, 0] * 0.9 - a.position[:, 1] * 0.45 + warp
    net = np.maximum(_line(_wrap(slanted, 6.5), 0.45), 0.7 * _line(_wrap(crossed, 8.0), 0.45))
    return a.palm * net * smoothstep(0.2, 1.2, noise(a.position, 12.0, 22))


def knuckle_wrinkles(a: Anatomy) -> np.ndarray:
    """Return the transverse wrinkles on the back of the finger joints."""
    back = 1 - a.palm
    wave = 0.45 * noise(a.position, 6.0, 31)
    total = np.zeros(len(a.position))
    for finger in (*_LONG, "thumb"):
        here = a.on_finger(finger) * back**2
        for joint, reach, spacing, strength in _WRINKLED[finger == "thumb"]:
            at = a.along(f"{finger}_{joint}")
            # Lines curve around the joint: those before it one way, those behind it the other.
            side = np.linalg.norm(a.position - a.joint(f"{finger}_{joint}"), axis=1) ** 2 - at**2
            bowed = at * (1 + 0.0022 * side) + wave
            total = np.maximum(
                total, strength * here * _line(_wrap(bowed, spacing), 0.42) * np.exp(-((at / reach) ** 2))
            )
    return total


_WRINKLED = {
    False: (("pip", 5.2, 1.9, 1.0), ("dip", 3.4, 1.7, 0.75)),
    True: (("ip", 4.8, 1.9, 1.0), ("mcp", 5.0, 2.2, 0.5)),
}


def knuckle_patches(a: Anatomy) -> np.ndarray:
    """Return soft patches over the knuckles and finger joints of the back: redder, and darker in dark skin."""
    back = 1 - a.palm
    total = np.zeros(len(a.position))
    for finger in (*_LONG, "thumb"):
        for joint, size in (
            (("mcp", 8.5), ("ip", 7.0)) if finger == "thumb" else (("mcp", 9.0), ("pip", 7.0), ("dip", 5.0))
        ):
            distance = np.linalg.norm(a.position - a.joint(f"{finger}_{joint}"), axis=1)
            total = np.maximum(
                total, (0.8 if joint == "mcp" else 1.0) * np.exp(-((((distance - 6) / size).clip(0)) ** 2))
            )
    return total * back


def fingertips(a: Anatomy) -> np.ndarray:
    """Return 1 at the finger tips and pads, 0 beyond the last joint's middle."""
    distance = np.linalg.norm(a.position[:, None] - a.tips, axis=-1).min(1)
    return smoothstep(22.0, 4.0, distance)


def eminences(a: Anatomy) -> np.ndarray:
    """Return the balls of thumb and little finger and the pads under the fingers: the reddest parts of a palm."""
    points = [
        (0.55 * a.joint("thumb_cmc") + 0.45 * a.joint("thumb_mcp"), 17.0),
        (0.5 * a.joint("pinky_mcp") + np.array([-2.0, 12.0, 0.0]), 17.0),
        *((a.joint(f"{f}_mcp") + np.array([0.0, -6.0, -8.0]), 9.0) for f in _LONG),
    ]
    near = [np.exp(-((np.linalg.norm(a.position[:, :2] - p[:2], axis=1) / r) ** 2)) for p, r in points]
    return a.palm * np.max(near, axis=0)


def veins(a: Anatomy) -> np.ndarray:
    """Return the veins on the back of the hand: an arch fed from between the knuckles, and two trunks to the wrist."""
    index, middle, ring, pinky = (a.joint(f"{f}_mcp")[:2] for f in _LONG)
    arch = (_by(index, 4, 24), _by(middle, 6, 36), _by(ring, 8, 38), _by(pinky, 6, 32))
    curves = (
        arch,
        (_by((index + middle) / 2, 1, 2), _by((index + middle) / 2, 3, 16), arch[1]),
        (_by((middle + ring) / 2, 0, 2), _by((middle + ring) / 2, -1, 18), _by(arch[1], -4, 1)),
        (_by((ring + pinky) / 2, 1, 0), _by((ring + pinky) / 2, 3, 16), _by(arch[2], -4, 0)),
        (arch[0], _by(index, 6, 42), (24, -44), (20, -22), (19, -2)),
        (arch[2], _by(ring, 8, 52), (-10, -34), (-12, -14), (-14, 2)),
        (arch[1], _by(middle, 3, 52), (2, -36), (-12, -18)),
    )
    back = smoothstep(0.5, 0.1, a.palm) * (1 - sum(a.on_finger(f) for f in (*_LONG, "thumb"))).clip(0, 1)
    wobble = 1.3 * noise(a.position, 16.0, 41)
    depth = smoothstep(-1.2, 0.8, noise(a.position, 20.0, 42))
    total = np.zeros(len(a.position))
    for knots in curves:
        distance, _ = _to_curve(a.position[:, :2], np.array(knots, dtype=float))
        total = np.maximum(total, _line(distance + wobble, 1.7))
    return total * back * (0.45 + 0.55 * depth)


def spots(a: Anatomy, count: int, radius_mm: tuple[float, float], seed: int) -> np.ndarray:
    """Return round spots, freckles or age spots, on the back of hand and fingers."""
    rng = np.random.default_rng(seed)
    eligible = np.flatnonzero(a.palm < 0.3)
    total = np.zeros(len(a.position))
    for centre in rng.choice(eligible, size=count, replace=False):
        radius, strength = rng.uniform(*radius_mm), rng.uniform(0.4, 1.0)
        distance = np.linalg.norm(a.position - a.position[centre], axis=1)
        total = np.maximum(total, strength * smoothstep(1.3 * radius, 0.5 * radius, distance))
    return total


def _line(distance: np.ndarray, width_mm: float) -> np.ndarray:
    return np.exp(-((distance / width_mm) ** 2))


def _by(point: np.ndarray, x_mm: float, y_mm: float) -> np.ndarray:
    return point + np.array([x_mm, y_mm])


def _wrap(x: np.ndarray, period: float) -> np.ndarray:
    return (x + period / 2) % period - period / 2


def _to_curve(points: np.ndarray, knots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance to a smooth curve through the knots, and the fraction of its length at the nearest point."""
    from scipy.interpolate import make_interp_spline
    from scipy.spatial import cKDTree

    step = np.linalg.norm(np.diff(knots, axis=0), axis=1)
    place = np.concatenate(([0.0], np.cumsum(step))) / step.sum()
    share = np.linspace(0.0, 1.0, 400)
    samples = make_interp_spline(place, knots, k=min(3, len(knots) - 1))(share)
    distance, nearest = cKDTree(samples).query(points)
    return distance, share[nearest]
