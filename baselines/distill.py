"""Policy distillation before layer copying: the last layers come from a student of the expert, not from the expert.

Document: Shachaf, Ziv & Zahavy, "Transfer Learning in DQN using weighted layers copying", equation 4 and section
"Preprocessing by Policy Distillation", after Rusu et al. (2016).

In words: the expert (the teacher) plays the source; a fresh network of the same shape (the student) is trained on the
observations, by the Kullback-Leibler divergence from softmax(q_T / tau) to softmax(q_S), the student's values without
temperature; then the student's last layers are copied into the target's network and fine-tuned. ``fixed``: tau = 0.1,
every sample is used once. ``varying``: five passes over the samples, tau = 0.1, 0.2, ... 0.5.

The document calls this softening. A temperature below 1 does the opposite: softmax(q / 0.1) is *sharper* than
softmax(q), close to the greedy action where values differ by more than a few tenths. The formula is followed here, not
the word.

The document leaves open, and this module chooses:

* Samples: a million there, 4 % of its source budget. Here all that the extraction allowance gives (a quarter of the
  source budget), a million at most; they are metered.
* How the teacher plays: greedily, with a uniform action in one of twenty steps (the epsilon of the document's
  evaluations).
* The student's optimiser: Adam, learning rate 1e-3, minibatches of 32, a pass in random order.
* Several sources (the document's background: m teachers, one student, a memory D_i for each): a minibatch comes from
  one source, in random order. The student's layers are shared by all; only the last is not where sources have other
  numbers of actions: one head for each number. The target gets the one that fits it. Sources must observe alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from stable_baselines3.dqn.policies import QNetwork
from torch import nn
from torch.nn.functional import log_softmax

from tlbench.baselines.layer_copy import LayerCopy, LayerCopyConfig
from tlbench.baselines.learners.dqn_policy import q_parameters_by_role
from tlbench.protocol.errors import BudgetExhausted, TlbenchError
from tlbench.protocol.interface import Array, BudgetedTask, Context, Expert, JSONValue, Knowledge, Params

NAMES: dict[str, dict[str, JSONValue]] = {
    f"distill-last{n}-{kind}": {"layers": n, "temperatures": temperatures}
    for n in (1, 2)
    for kind, temperatures in (("fixed", [0.1]), ("varying", [0.1, 0.2, 0.3, 0.4, 0.5]))
}


class DistillConfig(LayerCopyConfig):
    """Settings of distillation, and of the layer copying that follows."""

    end: Literal["first", "last"] = Field("last", description="From which end layers are counted.")
    temperatures: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.1,), min_length=1, description="Temperature of each pass over the samples."
    )
    samples: int = Field(1_000_000, ge=1, description="Samples per source, at most; the allowance may give fewer.")
    exploration: float = Field(0.05, ge=0, le=1, description="Share of uniform actions while the teacher plays.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate for the student.")
    batch_size: int = Field(32, ge=1, description="Minibatch size.")


class Distill(LayerCopy):
    """Starts from the last layers of a student that was distilled from the expert."""

    Config: ClassVar[type[LayerCopyConfig]] = DistillConfig
    variants: ClassVar[dict[str, dict[str, JSONValue]]] = {f"{name}-{{learner}}": NAMES[name] for name in NAMES}
    aliases: ClassVar[dict[str, str]] = {name: f"{name}-dqn" for name in NAMES}

    def learn_source(
        self, sources: Sequence[BudgetedTask], experts: Sequence[Expert], ctx: Context
    ) -> Knowledge | None:
        """Let the teachers play, train the student.

        Raises:
            TlbenchError: If the sources' observations differ in shape, or the allowance is too small to play at all.
        """
        if len({expert.interface.observation_space.shape for expert in experts}) > 1:
            raise TlbenchError("the sources of one student must have observations of one shape")
        rng = ctx.rng()
        teachers: list[Any] = [expert.agent(ctx.device) for expert in experts]
        memories = [self._play(task, agent, rng) for task, agent in zip(sources, teachers, strict=True)]
        student = Student(experts, ctx)
        pupils = [student.networks[actions_of(expert)] for expert in experts]
        pairs = [(teacher.model.q_net, pupil) for teacher, pupil in zip(teachers, pupils, strict=True)]
        self._teach(pairs, memories, rng)
        values = [
            (values_of(teacher, memory), values_of(pupil, memory))
            for (teacher, pupil), memory in zip(pairs, memories, strict=True)
        ]
        agreement = torch.cat([t.argmax(dim=1) == s.argmax(dim=1) for t, s in values]).float().mean()
        loss = torch.cat([divergence(t, s, self.config.temperatures[-1]) for t, s in values]).mean()
        diagnostics: dict[str, JSONValue] = {
            "distilled_samples": sum(len(memory) for memory in memories),
            "distilled_divergence": float(loss),
            "distilled_agreement": float(agreement),
        }
        return Knowledge(student.params(), diagnostics=diagnostics)

    def transform(self, knowledge: Knowledge, fresh: Params, ctx: Context) -> tuple[Params, Sequence[str]]:
        """Copy the student's layers, with the head for the target's number of actions if there is one."""
        tensors = {role: tensor for role, tensor in knowledge.tensors.items() if not role.startswith("heads.")}
        prefix = f"heads.{len(fresh['head.bias'])}."
        for role, tensor in knowledge.tensors.items():
            if role.startswith(prefix):
                tensors[f"head.{role.removeprefix(prefix)}"] = tensor
        return super().transform(Knowledge(tensors), fresh, ctx)

    def _play(self, task: BudgetedTask, agent: Any, rng: np.random.Generator) -> Array:
        """Observations ``[N, ...]`` that the teacher meets within the allowance."""
        task.publish(agent.policy)
        envs = task.envs(agent.model.n_envs)
        rows: list[Array] = []
        lanes, actions = envs.num_envs, int(task.interface.action_space.n)  # type: ignore[attr-defined]
        try:
            obs: Any = envs.reset()
            while len(rows) * lanes < self.config.samples:
                random = rng.random(lanes) < self.config.exploration
                chosen = np.where(random, rng.integers(actions, size=lanes), agent.model.policy.greedy(obs))
                following, *_ = envs.step(chosen)
                rows.append(obs)
                obs = following
        except BudgetExhausted:
            pass
        if not rows:
            raise TlbenchError(f"the extraction allowance of {task.budget} units is too small for {lanes} lanes")
        return np.concatenate(rows)[: self.config.samples]

    def _teach(
        self, pairs: Sequence[tuple[QNetwork, QNetwork]], memories: Sequence[Array], rng: np.random.Generator
    ) -> None:
        parameters = nn.ModuleList([pupil for _, pupil in pairs]).parameters()  # each once, shared or not
        optimiser = torch.optim.Adam(parameters, lr=self.config.learning_rate, fused=True)
        for temperature in self.config.temperatures:
            for source, chosen in minibatches([len(memory) for memory in memories], self.config.batch_size, rng):
                (teacher, pupil), obs = pairs[source], memories[source][chosen]
                with torch.no_grad():
                    wanted = teacher(torch.as_tensor(obs, device=teacher.device))
                loss = divergence(wanted, pupil(torch.as_tensor(obs, device=pupil.device)), temperature).mean()
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()


class Student:
    """A fresh network per number of actions, sharing all layers but the last.

    Args:
        experts: The teachers.
        ctx: Seed and device.
    """

    def __init__(self, experts: Sequence[Expert], ctx: Context) -> None:
        self.networks: dict[int, QNetwork] = {}
        for expert in experts:
            if actions_of(expert) not in self.networks:
                agent: Any = expert.learner.build(expert.interface, expert.config, ctx.agent_seed, ctx.device)
                self.networks[actions_of(expert)] = agent.model.q_net
        first, *others = self.networks.values()
        for other in others:
            other.features_extractor = first.features_extractor
            other.q_net = nn.Sequential(*list(first.q_net)[:-1], other.q_net[-1])

    def params(self) -> Params:
        """The first source's network by role, and further heads as ``heads.<actions>.weight`` and ``.bias``."""
        roles = [(actions, q_parameters_by_role(network)) for actions, network in self.networks.items()]
        live = dict(roles[0][1])
        for actions, others in roles[1:]:
            live |= {f"heads.{actions}.{part}": others[f"head.{part}"] for part in ("weight", "bias")}
        return {role: parameter.detach().cpu().clone() for role, parameter in live.items()}


def divergence(teacher: torch.Tensor, student: torch.Tensor, temperature: float) -> torch.Tensor:
    """Equation 4: the divergence of softmax(student) from softmax(teacher / temperature).

    Args:
        teacher: The teacher's values, ``[N, actions]``.
        student: The student's values, ``[N, actions]``.
        temperature: Divides the teacher's values only.

    Returns:
        ``[N]``.
    """
    wanted = log_softmax(teacher / temperature, dim=1)
    return (wanted.exp() * (wanted - log_softmax(student, dim=1))).sum(dim=1)


def minibatches(sizes: Sequence[int], size: int, rng: np.random.Generator) -> Iterator[tuple[int, Array]]:
    """One pass over several memories: (memory, positions in it), in random order, each position once."""
    batches = []
    for memory, total in enumerate(sizes):
        order = rng.permutation(total)
        batches += [(memory, order[start : start + size]) for start in range(0, total, size)]
    for i in rng.permutation(len(batches)):
        yield batches[i]


def values_of(network: QNetwork, obs: Array, rows: int = 1024) -> torch.Tensor:
    """Values ``[N, actions]`` of observations ``[N, ...]``, computed ``rows`` at a time."""
    with torch.no_grad():
        blocks = (obs[i : i + rows] for i in range(0, len(obs), rows))
        return torch.cat([network(torch.as_tensor(block, device=network.device)) for block in blocks])


def actions_of(expert: Expert) -> int:
    """Number of actions on an expert's source."""
    return int(expert.interface.action_space.n)  # type: ignore[attr-defined]
