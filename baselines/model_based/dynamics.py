"""An ensemble of learned dynamics models: stacked parameters, one batched product per layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch

from tlbench.baselines.learners.networks import all_finite
from tlbench.baselines.model_based.segments import Segments
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Params

LIMIT = 20.0
"""Virtual states stay within so many standard deviations of the data's mean, so that no model runs off to infinity."""
NO_SPREAD = 1e-6
"""Standard deviation below which a component counts as constant."""


class DynamicsEnsemble:
    """M networks that predict the change of an observation from the observation and an action.

    Inputs and outputs are normalised with the data's means and standard deviations. The loss is that of SLBO (Luo et
    al. 2019, equation 6.1): the L2 norm, not squared, of the error of each predicted change, while the model is
    unrolled from its own predictions.

    Args:
        observations: Components d of an observation.
        actions: Components k of an action.
        hidden_sizes: Units of the hidden layers (ReLU).
        members: M.
        generator: Draws the initial parameters.
    """

    def __init__(
        self, observations: int, actions: int, hidden_sizes: Sequence[int], members: int, generator: torch.Generator
    ) -> None:
        sizes = [observations + actions, *hidden_sizes, observations]
        self.weights: list[torch.Tensor] = []
        self.biases: list[torch.Tensor] = []
        for inputs, outputs in pairwise(sizes):
            bound = inputs**-0.5
            self.weights.append(torch.empty(members, inputs, outputs).uniform_(-bound, bound, generator=generator))
            self.biases.append(torch.empty(members, 1, outputs).uniform_(-bound, bound, generator=generator))
        for parameter in self.parameters():
            parameter.requires_grad_()
        self.obs_mean, self.delta_mean = torch.zeros(observations), torch.zeros(observations)
        self.obs_std, self.delta_std = torch.ones(observations), torch.ones(observations)

    @property
    def members(self) -> int:
        """M."""
        return len(self.weights[0])

    def parameters(self) -> list[torch.Tensor]:
        """All weights and biases, ``[M, in, out]`` and ``[M, 1, out]``."""
        return [*self.weights, *self.biases]

    def normalise(self, data: Segments) -> None:
        """Take means and standard deviations from data."""
        deltas = data.deltas[data.mask > 0]
        self.obs_mean, self.obs_std = data.obs.mean(dim=0), _spread(data.obs)
        self.delta_mean, self.delta_std = deltas.mean(dim=0), _spread(deltas)

    def deltas(self, obs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Predicted changes, ``[M, B, d]``, of observations ``[M, B, d]`` under actions ``[M, B, k]`` in [-1, 1]."""
        x = torch.cat([(obs - self.obs_mean) / self.obs_std, actions], dim=-1)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = torch.baddbmm(bias, x, weight).relu_()
        x = torch.baddbmm(self.biases[-1], x, self.weights[-1])
        return x * self.delta_std + self.delta_mean

    @torch.no_grad()
    def step(self, obs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Predicted next observations, ``[M, B, d]``, held within ``LIMIT`` standard deviations."""
        reach = LIMIT * self.obs_std
        return torch.clamp(obs + self.deltas(obs, actions), self.obs_mean - reach, self.obs_mean + reach)

    def losses(self, batch: Segments) -> torch.Tensor:
        """Mean loss of each member, ``[M]``, on minibatches of its own, ``[M, B, ...]``."""
        obs, total = batch.obs, torch.zeros(len(batch.obs))
        for step in range(batch.actions.shape[2]):
            deltas = self.deltas(obs, batch.actions[:, :, step])
            errors = torch.linalg.vector_norm((deltas - batch.deltas[:, :, step]) / self.delta_std, dim=-1)
            total = total + (errors * batch.mask[:, :, step]).sum(dim=1)
            obs = obs + deltas
        return total / batch.mask.sum(dim=(1, 2))

    @torch.no_grad()
    def relative_error(self, data: Segments) -> float:
        """Norm of the members' one-step errors over that of the changes' deviations from the normalisation's mean.

        0 is perfect; 1 is as good as always predicting the mean change of the data that the normalisation is from. Mean
        over members and rows, normalised units.
        """
        obs, actions = (x.expand(self.members, *x.shape) for x in (data.obs, data.actions[:, 0]))
        errors = torch.linalg.vector_norm((self.deltas(obs, actions) - data.deltas[:, 0]) / self.delta_std, dim=-1)
        deviations = torch.linalg.vector_norm((data.deltas[:, 0] - self.delta_mean) / self.delta_std, dim=-1)
        return float(errors.mean() / deviations.mean().clamp(min=NO_SPREAD))

    @torch.no_grad()
    def disagreement(self, obs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Spread of the members over each change of ``[B, d]`` under ``[B, k]``: ``[B]``, root mean square."""
        every = self.deltas(obs.expand(self.members, *obs.shape), actions.expand(self.members, *actions.shape))
        return (every / self.delta_std).var(dim=0, correction=0).mean(dim=-1).sqrt()

    def check_finite(self) -> None:
        """Raise ``DivergedError`` if a parameter is not finite."""
        if not all_finite(self.parameters()):
            raise DivergedError("the learned dynamics are not finite")

    def tensors(self) -> Params:
        """Copies of parameters and normalisation, by role."""
        roles = {f"{layer}.weight": weight for layer, weight in enumerate(self.weights)}
        roles |= {f"{layer}.bias": bias for layer, bias in enumerate(self.biases)}
        roles |= {"obs_mean": self.obs_mean, "obs_std": self.obs_std}
        roles |= {"delta_mean": self.delta_mean, "delta_std": self.delta_std}
        return {role: tensor.detach().clone() for role, tensor in roles.items()}

    def load(self, tensors: Params) -> None:
        """Set parameters and normalisation by role.

        Raises:
            KeyError: If a role is missing.
            RuntimeError: If a shape differs.
        """
        with torch.no_grad():
            for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
                weight.copy_(tensors[f"{layer}.weight"])
                bias.copy_(tensors[f"{layer}.bias"])
        for name in ("obs_mean", "obs_std", "delta_mean", "delta_std"):
            setattr(self, name, tensors[name].clone())


def _spread(rows: torch.Tensor) -> torch.Tensor:
    """Standard deviations, 1 where there is none."""
    spread = rows.std(dim=0, correction=0)
    return torch.where(spread < NO_SPREAD, torch.ones_like(spread), spread)
