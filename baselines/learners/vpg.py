"""VPG: REINFORCE with reward-to-go, the base learner of the SPAM paper.

Document: Lee and Kim, SPAM (source parameters through an autoencoder as the starting point on a target), whose base
learner is policy gradients with reward-to-go, two layers of 64. The algorithm is Williams (1992), REINFORCE, in the
form of Sutton et al. (2000), where an action is credited only with the rewards that follow it.

In words: 16 lanes play. As soon as the episodes finished since the last update have 1,000 steps, each of their steps
gets the discounted sum of the rewards from it to its episode's end. These sums, shifted and scaled to mean 0 and
standard deviation 1 over the batch, weight the log-probabilities of the actions taken, and Adam takes one step up the
weighted mean. There is no baseline and no critic.

What the document leaves open, and what was chosen here:

- Activation tanh; SB3's orthogonal initialisation with a small head; Gaussian head with a log standard deviation that
  does not depend on the state and starts at 0; actions are clipped to their bounds only on their way to the
  environment. The discount is the task's.
- Episodes that a time limit ends get no bootstrap: their rewards-to-go stop at the cut.
- Parallel lanes: the document has none. Unfinished episodes are carried to the update after they finish, so that a
  long one was partly played by older parameters (16 lanes of 1,000 steps span 16 updates). Measured on CartPole
  (150,000 steps) and InvertedPendulum (200,000), mean of ten or five deterministic episodes per point, first of three
  points in a row at 475 and 950, medians in thousands of steps: 8 lanes 24 and 50, 16 lanes 24 and 60, 64 lanes 54
  and 80 (and 2 of 8 CartPole seeds never). So staleness hurts little up to 16 lanes, which are the fastest, and much
  at 64.
- Learning rate 5e-3 and batch 1,000: the defaults of the course exercise this learner comes from (CS294-112, homework
  2), and the best measured with 16 lanes. 1e-2 is sooner at the threshold (12 and 30) but less stable: over 100,000
  steps of CartPole it averages 313 instead of 424 (5 seeds). Batches of 2,000 need 40 and 100.

Without a baseline the policy is not held at the maximum: once every episode has full length, rewards-to-go depend on
the time step alone and updates are noise. At the end of 150,000 steps of CartPole 3 of 12 seeds are below 450 again.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tlbench.baselines.learners.agent import OnPolicyAgent, build_model
from tlbench.baselines.learners.networks import TORCH_ACTIVATIONS, Activation
from tlbench.baselines.learners.policies import ActorPolicy, unsupported_spaces
from tlbench.baselines.learners.reinforce import Reinforce
from tlbench.protocol.interface import Config, Interface, Learner


class VPGConfig(Config):
    """Settings of VPG."""

    n_envs: int = Field(16, ge=1, description="Lanes stepped together.")
    batch_size: int = Field(1000, ge=1, description="Environment steps of finished episodes per update, at least.")
    learning_rate: float = Field(5e-3, gt=0, description="Adam's learning rate.")
    hidden_sizes: tuple[int, ...] = Field((64, 64), description="Units of the hidden layers.")
    activation: Activation = Field("tanh", description="Activation of the hidden layers.")
    log_std_init: float = Field(0.0, description="Initial log standard deviation of continuous actions.")
    orthogonal_init: bool = Field(True, description="SB3's orthogonal initialisation (torch's default otherwise).")


class VPG(Learner):
    """REINFORCE with reward-to-go."""

    id = "vpg"
    Config = VPGConfig

    def unsupported(self, interface: Interface) -> str | None:
        """Why this learner can't learn a task with this interface, or ``None`` if it can."""
        return unsupported_spaces(interface)

    def build(self, interface: Interface, config: Any, seed: int, device: str) -> OnPolicyAgent:
        """Build a fresh agent; equal arguments give equal parameters."""
        model = build_model(
            Reinforce,
            interface,
            config.n_envs,
            policy=ActorPolicy,
            learning_rate=config.learning_rate,
            batch_size=config.batch_size,
            policy_kwargs={
                "net_arch": {"pi": list(config.hidden_sizes), "vf": []},
                "activation_fn": TORCH_ACTIVATIONS[config.activation],
                "log_std_init": config.log_std_init,
                "ortho_init": config.orthogonal_init,
            },
            seed=seed,
            device=device,
        )
        return OnPolicyAgent(model)
