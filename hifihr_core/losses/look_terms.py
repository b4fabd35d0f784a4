"""Terms that compare skin and light separately, for rendered pictures, whose skin and light are known.

A picture only shows the product of the two, so a network that learns from pictures alone may explain the skin's tone by
the light; these terms prevent that. docs/conventions.md defines the common scale of skin and light.
"""

import torch

from hifihr_core.errors import DataError
from hifihr_core.lookup import needed
from hifihr_core.losses.terms import LossInputs, Ratio, mean_over_present, term
from hifihr_core.records import Light
from hifihr_core.rendering.skylight import even_directions, light_at

#: Normals at which two lights are compared.
_NORMALS = 32


@term("albedo", labels=("texture",), requires=("render",))
def albedo(inputs: LossInputs) -> Ratio:
    """Mean absolute difference of the albedo over the vertices, RGB in [0, 1].

    Raises: DataError if the label has the coefficients of another hand model.
    """
    ours, truth = needed(inputs.prediction.estimate.parameters.texture, "the texture"), inputs.labels["texture"]
    if ours.shape[1] != truth.shape[1]:
        raise DataError(
            f"the label texture has {truth.shape[1]} coefficients, expected {ours.shape[1]}, as in this run's hand "
            "model; prepare data with this model, or disable the term with --set loss.weights.albedo=0"
        )
    with torch.no_grad():
        aim = inputs.hand.vertex_colors(truth)
    return mean_over_present(inputs, (inputs.hand.vertex_colors(ours) - aim).abs(), "texture")


@term("light", labels=("light", "sky"), requires=("render",))
def light(inputs: LossInputs) -> Ratio:
    """Mean absolute difference in the colour of matte white surfaces of all orientations under the two lights."""
    truth = Light.from_numbers(inputs.labels["light"], inputs.labels["sky"])
    ours = needed(inputs.prediction.estimate.light, "the light")
    normals = even_directions(_NORMALS).to(truth.ambient).expand(len(truth.ambient), -1, -1)
    return mean_over_present(inputs, (light_at(normals, ours) - light_at(normals, truth)).abs(), "light", "sky")
