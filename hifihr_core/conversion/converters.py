"""The table of hand models to which predicted hands can be converted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hifihr_core.errors import ConfigError
from hifihr_core.exports.results import HandResult
from hifihr_core.hands.contract import HandModel, JointDefinition
from hifihr_core.lookup import load_attribute, lookup

#: Converts a hand in a photo from one model to another.
Convert = Callable[[HandResult], HandResult]


@dataclass(frozen=True)
class ConverterRow:
    """A target hand model: "module:class" of its converter, and the place of its residual in a result.

    `residual` is ``(field of HandResult, key)``; the value there maps names to millimetres. Hands that are not
    `textured` have one colour per vertex.
    """

    build: str
    residual: tuple[str, str]
    textured: bool


CONVERTERS: Mapping[str, ConverterRow] = MappingProxyType(
    {
        "mano": ConverterRow("hifihr_core.conversion.to_mano:ManoConverter", ("mano", "residual_mm"), False),
        "nimble": ConverterRow(
            "hifihr_core.conversion.to_nimble:NimbleConverter", ("report", "nimble_residual_mm"), True
        ),
    }
)


def build_converter(name: str, hand: HandModel, *, joints: JointDefinition = "freihand") -> Convert:
    """Return the converter from hands of `hand` to those of the model `name`.

    Raises: ConfigError if there is no converter to this model; AssetError if the model's files are not installed.
    """
    row = lookup(CONVERTERS, name, "hand model to convert to", error=ConfigError)
    convert: Convert = load_attribute(row.build)(hand, joints=joints).convert
    return convert


def residual_mm(name: str, result: HandResult) -> Mapping[str, float]:
    """Return the distance of a converted hand from the surface to which it was fitted, millimetres."""
    field, key = CONVERTERS[name].residual
    return getattr(result, field)[key]
