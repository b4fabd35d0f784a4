"""Paint one person's hand: pigments from anatomy and random numbers, then marks, then nails."""

from dataclasses import dataclass

import numpy as np
from skin import marks
from skin.anatomy import Anatomy, smoothstep
from skin.tone import encode, skin_colour


@dataclass(frozen=True)
class Person:
    """The parameters of a skin; all but the first two are amounts around 1 or strengths from 0."""

    melanin: float  # 0.03 very light to 2.3 very dark
    blood: float  # 0.12 pale to 0.45 flushed
    carotene: float
    palm_melanin: float  # melanin of the palm as a fraction of the back's
    contrast: float  # of blood between pads and hollows
    creases: float
    wrinkles: float
    knuckles: float
    veins: float
    freckles: float
    age_spots: float
    mottle: tuple[float, ...]
    nail_pallor: float
    nail_edge_mm: float
    sleeve: tuple[float, float, float] | None = None  # sRGB
    ring: tuple[float, float, float] | None = None
    dirt: float = 0.0


@dataclass(frozen=True)
class Marks:
    """All fields that do not depend on the person, computed once."""

    fingers: np.ndarray
    palm: np.ndarray
    net: np.ndarray
    wrinkles: np.ndarray
    patches: np.ndarray
    tips: np.ndarray
    eminences: np.ndarray
    veins: np.ndarray
    freckles: np.ndarray
    age_spots: np.ndarray
    broad: tuple[np.ndarray, ...]
    blotches: np.ndarray
    grain: np.ndarray


def read_marks(a: Anatomy) -> Marks:
    """Compute the fields of the mean hand."""
    return Marks(
        fingers=marks.finger_creases(a),
        palm=marks.palm_creases(a),
        net=marks.fine_palm_lines(a),
        wrinkles=marks.knuckle_wrinkles(a),
        patches=marks.knuckle_patches(a),
        tips=marks.fingertips(a),
        eminences=marks.eminences(a),
        veins=marks.veins(a),
        freckles=marks.spots(a, 160, (0.7, 1.3), 51),
        age_spots=marks.spots(a, 26, (1.3, 3.0), 52),
        broad=tuple(marks.noise(a.position, 55.0, seed, waves=10) for seed in range(61, 67)),
        blotches=marks.noise(a.position, 7.0, 64),
        grain=0.6 * marks.noise(a.position, 2.4, 65, 96) + 0.5 * marks.noise(a.position, 4.2, 66),
    )


def draw_person(rng: np.random.Generator) -> Person:
    """Sample one skin; tones are spread evenly over the human range of perceived lightness."""
    melanin = float(2.15 * rng.uniform(0.02, 1.0) ** 1.9 + 0.03)
    old = rng.random() ** 2
    return Person(
        melanin=melanin,
        blood=float(rng.uniform(0.14, 0.34)),
        carotene=float(rng.uniform(0.08, 0.34)),
        palm_melanin=float(rng.uniform(0.24, 0.40)),
        contrast=float(rng.uniform(0.5, 1.5)),
        creases=float(rng.uniform(0.6, 1.4)),
        wrinkles=float(rng.uniform(0.5, 1.0) + 0.9 * old),
        knuckles=float(rng.uniform(0.4, 1.6)),
        veins=float(rng.uniform(0.0, 1.0) ** 1.5 + 0.4 * old),
        freckles=float(max(rng.normal(0.1, 0.35), 0.0) * np.exp(-1.5 * melanin)),
        age_spots=float(0.9 * max(old - 0.45, 0.0)),
        mottle=tuple(rng.normal(size=6)),
        nail_pallor=float(rng.uniform(0.6, 1.4)),
        nail_edge_mm=float(rng.uniform(0.3, 1.7)),
    )


def paint(a: Anatomy, m: Marks, person: Person) -> np.ndarray:
    """Return sRGB (N, 3) of a person's hand."""
    back = 1 - a.palm
    melanin = _melanin(a, m, person)
    blood = person.blood * (
        0.80
        + 0.42 * a.palm
        + person.contrast * (0.45 * m.eminences + 0.55 * m.tips * (0.35 + 0.65 * a.palm))
        + 0.32 * person.knuckles * m.patches
        + 0.10 * (person.mottle[1] * m.broad[1] + person.mottle[3] * m.broad[3] + person.mottle[4] * m.broad[4])
        + m.blotches * (0.05 + 0.13 * a.palm * person.contrast)
        - 0.14 * a.palm * m.net
    )
    blood += 0.19 * person.creases * (m.fingers + 0.8 * m.palm + 0.35 * m.net) + 0.09 * person.wrinkles * m.wrinkles
    carotene = person.carotene * (0.75 + 0.4 * a.palm) * (1 + 0.1 * person.mottle[2] * m.broad[2])
    vein = 0.20 * person.veins * m.veins * np.exp(-0.5 * person.melanin)
    colour = skin_colour(melanin, np.maximum(blood, 0.02), carotene, vein)
    relief = 0.055 * person.creases * (m.fingers + m.palm) + 0.075 * person.wrinkles * m.wrinkles + 0.03 * m.net
    colour *= (1 - relief + m.grain * (0.008 + 0.010 * back))[:, None]
    colour = _nails(a, person, colour)
    return np.clip(_extras(a, person, colour), 0.0, 1.0)


def _melanin(a: Anatomy, m: Marks, person: Person) -> np.ndarray:
    """Return the melanin density: low in the palm, higher in creases, at joints and in spots."""
    palm = 0.025 + person.palm_melanin * person.melanin
    pale = smoothstep(0.12, 0.88, a.palm)
    density = person.melanin * (1 - pale) + np.minimum(palm, person.melanin) * pale
    density *= 1 + 0.06 * (person.mottle[0] * m.broad[0] + person.mottle[5] * m.broad[5]) + 0.03 * m.blotches
    density += person.melanin * (0.20 * person.knuckles * m.patches + 0.14 * person.wrinkles * m.wrinkles)
    density += 0.16 * person.melanin * person.creases * (m.fingers + 0.8 * m.palm + 0.25 * m.net)
    return (
        density + 0.45 * person.freckles * m.freckles + (0.25 + 0.3 * person.melanin) * person.age_spots * m.age_spots
    )


def _nails(a: Anatomy, person: Person, colour: np.ndarray) -> np.ndarray:
    """Add nails: a glossy pink bed, the pale moon at its root, the free edge, a darker fold around it."""
    bed_melanin = 0.03 + 0.33 * person.melanin
    bed = skin_colour(*(np.array([v]) for v in (bed_melanin, 0.9 * person.blood + 0.03, 0.10, 0.0)))[0]
    moon = 1 - (1 - bed) * (1 - 0.30 * person.nail_pallor)
    edge = np.array([0.93, 0.90, 0.83]) * (1 - 0.13 * person.melanin)
    for finger, nail in enumerate(a.nails):
        x, y = nail.across, nail.along
        radius = (np.abs(x) ** 2.6 + np.abs(np.where(y > 0, y * 0.97, y)) ** 2.8) ** (1 / 2.7)
        on = (nail.facing > 0.15) * smoothstep(1.04, 0.94, radius)
        fold = (nail.facing > -0.2) * np.exp(-(((radius - 1.08) / 0.10) ** 2)) * smoothstep(1.1, 0.6, y)
        colour = colour * (1 - 0.20 * fold[:, None] * np.array([0.7, 1.0, 1.0]))
        plate = bed * (1 + 0.05 * np.cos(1.4 * x)[:, None] + 0.012 * np.sin(22 * x)[:, None])
        size = (0.62, 0.42, 0.42, 0.36, 0.24)[finger]
        moon_at = smoothstep(1.1, 0.75, np.sqrt((x / 0.62) ** 2 + ((y + 1.0) / size) ** 2))
        plate = plate + moon_at[:, None] * (moon - plate)
        start = 1 - 2 * person.nail_edge_mm / nail.length_mm
        free = smoothstep(start - 0.08, start + 0.06, y + 0.10 * x**2)
        plate = plate + 0.85 * free[:, None] * (edge - plate)
        colour = colour + on[:, None] * (plate - colour)
    return colour


def _extras(a: Anatomy, person: Person, colour: np.ndarray) -> np.ndarray:
    """Add what is not skin: a sleeve over the wrist, a ring, dirt. The shipped basis has none of these."""
    if person.sleeve is not None:
        weave = 1 + 0.06 * np.sin(2.2 * a.position[:, 1]) * np.sin(2.2 * a.position[:, 0])
        on = smoothstep(-15.0, -13.5, a.position[:, 1])[:, None]
        colour = colour + on * (np.array(person.sleeve) * weave[:, None] - colour)
    if person.ring is not None:
        at = a.along("ring_mcp") - 0.62 * np.linalg.norm(a.joint("ring_pip") - a.joint("ring_mcp"))
        on = (a.on_finger("ring") > 0.6) * smoothstep(2.0, 1.5, np.abs(at))
        shine = 0.75 + 0.5 * np.exp(-(((at + 0.4) / 0.6) ** 2))
        colour = colour + on[:, None] * (np.array(person.ring) * shine[:, None] - colour)
    if person.dirt > 0:
        where = smoothstep(0.3, 1.6, marks.noise(a.position, 16.0, 71)) * (0.7 + 0.3 * marks.noise(a.position, 3.0, 72))
        soil = encode(np.array([0.10, 0.075, 0.05]))
        colour = colour + np.clip(person.dirt * where, 0, 0.9)[:, None] * (soil - colour)
    return colour
