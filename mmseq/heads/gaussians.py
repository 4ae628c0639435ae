"""Mixtures of Gaussians: density, quantiles, draws, score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from mmseq.heads.drawing import draw_above, draw_class, normal_cdf
from mmseq.heads.scores import mean_absolute
from mmseq.random import Draws

_HALVINGS = 60  # of the range of a quantile: to the precision of float64
_LEAST_WIDTH = 0.03  # of a component to start from, where labels are equal


@dataclass(frozen=True)
class Gaussians:
    """Σ_k π_k N(μ_k, σ_k²), of each query and column.

    Attributes:
        log_share: log π_k; Σ π_k = 1.
        mean: μ_k.
        scale: σ_k > 0.
    """

    log_share: Float[Tensor, "query column component"]
    mean: Float[Tensor, "query column component"]
    scale: Float[Tensor, "query column component"]

    def moved(self, origin: Float64[Tensor, "column 1"], unit: Float64[Tensor, "column 1"]) -> Gaussians:
        """The distribution of origin + unit·x."""
        return Gaussians(self.log_share, origin + unit * self.mean, unit * self.scale)

    def log_density(self, x: Float[Tensor, "query column"]) -> Float[Tensor, "query column"]:
        ratio = (x[..., None] - self.mean) / self.scale
        each = -ratio.square() / 2 - self.scale.log() - math.log(2 * math.pi) / 2
        return (self.log_share + each).logsumexp(-1)

    def up_to(self, x: Float[Tensor, "query column"]) -> Float[Tensor, "query column"]:
        """The probability of what is not above x."""
        ratio = (x[..., None] - self.mean) / self.scale
        return (self.log_share.exp() * normal_cdf(ratio)).sum(-1)

    def mean_of(self) -> Float[Tensor, "query column"]:
        return (self.log_share.exp() * self.mean).sum(-1)

    def mean_of_exp(self) -> Float[Tensor, "query column"]:
        """E exp(x) = Σ π_k exp(μ_k + σ_k²/2)."""
        return (self.log_share + self.mean + self.scale.square() / 2).logsumexp(-1).exp()

    def quantile(self, level: float) -> Float[Tensor, "query column"]:
        """The x below which that share lies: between the least and the greatest of the components'."""
        each = self.mean + self.scale * torch.special.ndtri(torch.tensor(level, dtype=torch.float64))
        low, high = each.amin(-1), each.amax(-1)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            is_below = self.up_to(middle) < level
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        return (low + high) / 2

    def draw(self, draws: Draws, *, temperature: float = 1.0) -> Float64[Tensor, "query column"]:
        """A number of each query and column; at temperature t of weights ∝ π^(1/t), and scales t·σ."""
        n_columns = self.mean.shape[1]
        share = self.log_share.flatten(0, 1)
        which = draw_class(share, draws.uniform(n_columns).reshape(-1, 1), temperature=temperature)
        mean, scale = self._of(which)
        noise = torch.special.ndtri(draws.uniform(n_columns))
        return mean + temperature * scale * noise

    def draw_above(
        self, bound: Float64[Tensor, "query"], draws: Draws, *, temperature: float = 1.0
    ) -> Float64[Tensor, "query"]:
        """A number of each query's first column, given that it is not below a bound.

        Component k then has a weight in proportion to π_k · P(x_k ≥ bound), and x_k is drawn above it. A
        temperature changes the mixture, as in `draw`, before it is cut.
        """
        sharpened = self.log_share[:, 0] / temperature if temperature else self.log_share[:, 0]
        scale = temperature * self.scale[:, 0]
        spread = scale.clamp(min=torch.finfo(scale.dtype).tiny)
        log_tail = torch.special.log_ndtr((self.mean[:, 0] - bound[:, None]) / spread)
        uniform = draws.uniform(2)
        if temperature == 0:
            which = self._nearest_above(bound)
        else:
            which = draw_class(sharpened + log_tail, uniform[:, :1])
        row = torch.arange(len(which))
        return draw_above(self.mean[row, 0, which], scale[row, which], bound, uniform[:, 1])

    def _nearest_above(self, bound: Float64[Tensor, "query"]) -> Tensor:
        """The most probable component whose mean is not below a bound; without one, the last of all."""
        is_above = self.mean[:, 0] >= bound[:, None]
        share = torch.where(is_above, self.log_share[:, 0], -torch.inf)
        return torch.where(is_above.any(1), share.argmax(1), self.mean[:, 0].argmax(1))

    def _of(self, which: Tensor) -> tuple[Float[Tensor, "query column"], Float[Tensor, "query column"]]:
        """Mean and scale of a component of each query and column."""
        index = which.view(self.mean.shape[:2])[..., None]
        return self.mean.gather(-1, index)[..., 0], self.scale.gather(-1, index)[..., 0]

    def crps(self, x: Float[Tensor, "query column"]) -> Float[Tensor, "query column"]:
        """Σ_k π_k A(x − μ_k, σ_k) − ½ Σ_jk π_j π_k A(μ_j − μ_k, √(σ_j² + σ_k²)), A(μ, σ) = E|N(μ, σ²)|.

        Source: Grimit et al. 2006, "The continuous ranked probability score for circular variables and its
        application to mesoscale forecast ensemble verification", equation 5 for the line.
        """
        share = self.log_share.exp()
        to_truth = (share * mean_absolute(x[..., None] - self.mean, self.scale)).sum(-1)
        apart = self.mean[..., :, None] - self.mean[..., None, :]
        both = (self.scale.square()[..., :, None] + self.scale.square()[..., None, :]).sqrt()
        pairs = share[..., :, None] * share[..., None, :] * mean_absolute(apart, both)
        return to_truth - pairs.sum((-2, -1)) / 2


def spread_out(z: Float64[np.ndarray, "label"], components: int) -> tuple[list[float], list[float]]:
    """Means and standard deviations of sorted labels' equal parts, which have the mean of all.

    Fewer labels than components stand in several parts. A width is at least 0.03 and at most 30, within
    what a head can predict.
    """
    z = np.sort(np.tile(z, -(-components // len(z))) if len(z) < components else z)
    # Each label has a share of 1/n of the line from 0 to 1; a part may end within one.
    edges = np.arange(components + 1) * len(z) / components
    centres, widths = [], []
    for low, high in pairwise(edges):
        first, last = int(low), min(int(np.ceil(high)), len(z))
        own = z[first:last]
        share = np.minimum(np.arange(first, last) + 1, high) - np.maximum(np.arange(first, last), low)
        centre = float(np.average(own, weights=share))
        centres.append(centre)
        widths.append(float(np.sqrt(np.average((own - centre) ** 2, weights=share))))
    return centres, np.clip(widths, _LEAST_WIDTH, 30).tolist()
