"""Separate skin and light: the most likely pair, given priors on both.

For each skin in a bank, a linear least-squares problem gives the light that best explains the hand under the prior on
light, and the likelihood of the image with the light integrated out (the evidence of a Gaussian model, Bishop, "Pattern
Recognition and Machine Learning", 3.5). These likelihoods are multiplied over the hands of one person. The mean and
covariance of the bank, with the likelihoods as weights, are then a Gaussian prior on texture coefficients. Conditioned
on the colours divided by the light (an ensemble Kalman update), its mean describes the whole skin, including unseen
sides.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hifihr_core.hands.skin_bank import SkinBank
from hifihr_core.prediction.look.light_prior import LightPrior
from hifihr_core.prediction.look.skin_evidence import SkinEvidence
from hifihr_core.records import Light
from hifihr_core.rendering.skylight import as_lamp_and_sky, sky_basis

#: Noise of a vertex's colour, relative and absolute: cameras, shadows and veins that the model lacks.
_RELATIVE, _FLOOR = 0.06, 0.01
#: Number of independent observations that all vertices of a hand count for, since the model's errors are correlated.
_WORTH = 120.0
#: Residuals beyond this many standard deviations lose weight (Student's t): highlights, rings, anything but skin.
_OUTLIER = 2.0
_ROUNDS = 3
#: A vertex brighter than this may be clipped, and carries little information.
_WHITE = 0.97
#: Number of vertices used, the best visible ones; more would add little.
_MOST_VERTICES = 400
#: Skins that are less likely than this are left out of the blend.
_UNLIKELY = 1e-6
#: Two hands count as one person's unless the image is this much likelier with two skins (log odds).
#: The likelihoods are overconfident: on rendered hands with camera tone curves they are calibrated at about a tenth of
#: their value. In photos of one man under fifteen lights, one pair in a hundred differs by 50.
_ODDS = 60.0


@dataclass(frozen=True)
class ToneAndLight:
    """The inferred skin and light of every hand.

    `likelihood` is the probability of each skin in the bank, `texture` are the coefficients of the whole skin, and
    `light` is in the camera frame of the crop. Hands with the same number in `person` have the same skin.
    """

    likelihood: Float[Tensor, "B M"]
    texture: Float[Tensor, "B X"]
    light: Light
    person: Int[Tensor, " B"]


@torch.no_grad()
def infer_tone_and_light(
    evidence: SkinEvidence,
    bank: SkinBank,
    prior: LightPrior,
    *,
    person: Int[Tensor, " B"] | None = None,
    certain: bool = False,
) -> ToneAndLight:
    """Infer skin and light of every hand; hands with the same number in `person` have one skin.

    Unless `certain`, a hand whose skin does not fit the person's other hands is assigned to another person. A hand that
    is not visible keeps the prior: the mean skin, and the light that its surroundings suggest.
    """
    brightness = prior.brightness(evidence.surroundings)
    chosen = [_best_seen(evidence.weight[i]) for i in range(len(brightness))]
    trust = [torch.ones_like(evidence.weight[i][seen]) for i, seen in enumerate(chosen)]
    skins = [_Skins.of(bank, seen) for seen in chosen]
    for _ in range(_ROUNDS):
        problems = [_Problem.of(evidence, i, seen, trust[i], brightness[i]) for i, seen in enumerate(chosen)]
        logs = torch.stack([p.log_evidence(skins[i], prior) for i, p in enumerate(problems)])
        who = person.to(logs.device) if certain and person is not None else _agreeing(logs, person)
        likelihood = torch.zeros_like(logs).index_add(0, who, logs)[who].softmax(dim=1)
        albedo = [torch.einsum("m,cmn->nc", likelihood[i], skin.colors) for i, skin in enumerate(skins)]
        relative = [p.light(albedo[i], prior) for i, p in enumerate(problems)]
        trust = [p.trust(albedo[i], relative[i]) for i, p in enumerate(problems)]
    coefficients = torch.stack(relative).unflatten(1, (3, 9)).mT * brightness[:, None]
    texture = torch.stack(
        [_whole_skin(likelihood[i], bank, skins, problems, relative, who == who[i]) for i in range(len(who))]
    )
    return ToneAndLight(likelihood, texture, as_lamp_and_sky(_as_light(coefficients)), who)


@dataclass(frozen=True)
class _Skins:
    """The colours of M skins at N vertices, channel by channel, and their squares, which are needed repeatedly."""

    colors: Float[Tensor, "3 M N"]
    squared: Float[Tensor, "3 M N"]

    @classmethod
    def of(cls, bank: SkinBank, vertices: Int[Tensor, " N"]) -> "_Skins":
        colors = bank.colors[:, vertices].permute(2, 0, 1).contiguous()
        return cls(colors, colors.square())

    @classmethod
    def one(cls, albedo: Float[Tensor, "N 3"]) -> "_Skins":
        return cls(albedo.mT[:, None], albedo.mT[:, None].square())


@dataclass(frozen=True)
class _Problem:
    """The least-squares problem of one hand with N visible vertices.

    `colors` are divided by the expected brightness and have the standard deviation `deviation`; `basis` contains the
    nine harmonics at each vertex, and `share` is the weight of a vertex.
    """

    colors: Float[Tensor, "N 3"]
    basis: Float[Tensor, "N 9"]
    share: Float[Tensor, " N"]
    deviation: Float[Tensor, "N 3"]

    @classmethod
    def of(cls, evidence: SkinEvidence, i: int, seen: Tensor, trust: Tensor, brightness: Tensor) -> "_Problem":
        colors, weight, open_sky = evidence.colors[i][seen], evidence.weight[i][seen], evidence.open_sky[i][seen]
        basis = torch.cat((torch.ones_like(colors[:, :1]), sky_basis(evidence.normals[i][seen])), dim=1)
        share = weight * trust * (colors.amax(dim=1) < _WHITE) / weight.sum().clamp_min(1e-9) * _WORTH
        deviation = (_RELATIVE * colors + _FLOOR) / brightness
        return cls(colors / brightness, basis * open_sky[:, None], share, deviation)

    def normal_equations(self, skins: "_Skins", prior: LightPrior) -> tuple[Tensor, Tensor]:
        """Return the matrix (M, 27, 27) and right-hand side (M, 27) of the equations for the light under each skin.

        They include the prior; the matrix is the precision of the light.
        """
        precision = self.share[:, None] / self.deviation.square()
        rows, columns, both = _symmetric(9, self.basis.device)
        outer = self.basis[:, rows] * self.basis[:, columns]
        blocks = (skins.squared @ (outer * precision.mT[..., None]))[..., both].unflatten(2, (9, 9))
        right = skins.colors @ (self.basis * (precision * self.colors).mT[..., None])
        full = prior.precision.expand(blocks.shape[1], 27, 27).clone()
        for c in range(3):
            full[:, 9 * c : 9 * c + 9, 9 * c : 9 * c + 9] += blocks[c]
        return full, right.transpose(0, 1).flatten(1) + prior.precision @ prior.mean

    def log_evidence(self, skins: "_Skins", prior: LightPrior) -> Float[Tensor, " M"]:
        """Return the log likelihood of the image under every skin, up to a constant per hand."""
        full, right = self.normal_equations(skins, prior)
        factor = torch.linalg.cholesky(full)
        half = torch.linalg.solve_triangular(factor, right[..., None], upper=False)[..., 0]
        return half.square().sum(dim=1) / 2 - factor.diagonal(dim1=1, dim2=2).log().sum(dim=1)

    def light(self, albedo: Float[Tensor, "N 3"], prior: LightPrior) -> Float[Tensor, "27"]:
        """Return the most likely light for one skin, as coefficients relative to the expected brightness."""
        full, right = self.normal_equations(_Skins.one(albedo), prior)
        return torch.linalg.solve(full, right)[0]

    def level(self, relative: Float[Tensor, "27"]) -> Float[Tensor, "N 3"]:
        """Return the shading under a light, by which the albedo of each vertex is multiplied."""
        return (self.basis @ relative.reshape(3, 9).mT).clamp_min(0.05)

    def trust(self, albedo: Float[Tensor, "N 3"], relative: Float[Tensor, "27"]) -> Float[Tensor, " N"]:
        """Return a weight per vertex that is lower if skin and light do not explain its colour."""
        residual = (self.colors - albedo * self.level(relative)) / self.deviation
        return 1 / (1 + residual.square().mean(dim=1) / _OUTLIER**2)


@lru_cache(maxsize=4)
def _symmetric(size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows and columns of the entries in the upper triangle of a symmetric matrix.

    Also returns, for every entry of the whole matrix (row-major), its index among these.
    """
    with torch.inference_mode(mode=False):  # cached, and training may follow an inference call
        rows, columns = torch.triu_indices(size, size, device=device)
        place = torch.zeros(size, size, dtype=torch.int64, device=device)
        place[rows, columns] = place[columns, rows] = torch.arange(len(rows), device=device)
        return rows, columns, place.flatten()


def _best_seen(weight: Float[Tensor, " V"]) -> Int[Tensor, " N"]:
    """Return the vertices with the largest weights."""
    return weight.topk(min(_MOST_VERTICES, max(1, int((weight > 0).sum())))).indices


def _agreeing(logs: Float[Tensor, "B M"], person: Int[Tensor, " B"] | None) -> Int[Tensor, " B"]:
    """Return a number per hand that is equal for hands with the same skin.

    These are the hands with equal numbers in `person`, except that a hand whose skin does not fit the person's other
    hands gets a number of its own.
    """
    who = torch.arange(len(logs), device=logs.device)
    if person is None:
        return who
    average = logs.logsumexp(dim=1)
    for i in range(1, len(logs)):
        same = [j for j in range(i) if int(person[j]) == int(person[i])]
        for first in sorted({int(who[j]) for j in same}):
            others = logs[:i][who[:i] == first].sum(dim=0)
            count = torch.tensor(float(logs.shape[1])).log()
            together = (others + logs[i]).logsumexp(dim=0)
            apart = others.logsumexp(dim=0) + average[i] - count
            if together - apart > -_ODDS:
                who[i] = first
                break
    return who


def _whole_skin(
    likelihood: Float[Tensor, " M"],
    bank: SkinBank,
    skins: list[_Skins],
    problems: list[_Problem],
    relative: list[Tensor],
    own: Tensor,
) -> Float[Tensor, " X"]:
    """Return the texture coefficients of the most likely skin for the hands of one person, those with `own` True.

    The prior is a Gaussian with mean and covariance of the bank, weighted by `likelihood`.
    """
    likely = (likelihood > _UNLIKELY).nonzero()[:, 0]
    likelihood = likelihood[likely] / likelihood[likely].sum()
    root = likelihood.sqrt()
    mean = likelihood @ bank.textures[likely]
    spread = root[:, None] * (bank.textures[likely] - mean)
    full, right = torch.eye(len(root)).to(root), torch.zeros_like(root)
    for i in own.nonzero()[:, 0].tolist():
        problem, level, colors = problems[i], problems[i].level(relative[i]), skins[i].colors[:, likely].transpose(0, 1)
        center = torch.einsum("m,mcn->cn", likelihood, colors)
        ways = (root[:, None, None] * (colors - center)).flatten(1)
        precision = (problem.share[:, None] * (level / problem.deviation).square()).mT.flatten()
        full = full + (ways * precision) @ ways.mT
        right = right + (ways * precision) @ ((problem.colors / level).mT - center).flatten()
    return mean + torch.linalg.solve(full, right) @ spread


def _as_light(coefficients: Float[Tensor, "B 9 3"]) -> Light:
    ambient = coefficients[:, 0]
    above = torch.zeros_like(ambient) + ambient.new_tensor([0.0, -1.0, 0.0])
    return Light(ambient, torch.zeros_like(ambient), above, coefficients[:, 1:])
