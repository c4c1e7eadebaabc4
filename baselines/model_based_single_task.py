"""model-based-single-task: one task learned on models of its own, without any source.

Documents: Luo et al. (2019), *Algorithmic Framework for Model-based Deep Reinforcement Learning with Theoretical
Guarantees* (SLBO), on which Landolfi, Thomas and Ma (2019) build. In words: what `model-based-multitask` does on a
target, with nothing carried there: real data is collected with noise on a fresh policy's actions, models are fitted to
it, and the policy is trained on them, in turn. There is no warm-up, as there is no model before the first data, and the
point at 0 % is a fresh policy.

It is there to be compared with: what `model-based-multitask` has above it is transfer, where its gain over
`scratch-trpo` is of learning on models as well. What SLBO leaves open, and what is smaller than its own, is as in
`model-based-multitask`. One thing differs from a target with carried models: the normalisation of observations follows
the data from stage to stage, as on a source, instead of being settled before the policy is trained.

The control is `scratch-trpo`, so that its gain is what learning on models is worth by itself.
"""

from __future__ import annotations

from tlbench.baselines.model_based.config import ModelBasedConfig
from tlbench.baselines.model_based.on_target import learn_on_models, unsupported_by_models
from tlbench.baselines.model_based.shared import SharedModels
from tlbench.protocol.interface import BudgetedTask, Context, Interface, Knowledge, TargetOnly


class ModelBasedSingleTask(TargetOnly):
    """Learns a target on models of its dynamics that are fitted to its own samples alone."""

    Config = ModelBasedConfig
    id = "model-based-single-task"
    seconds_per_unit = 1.5e-3
    learners = ("trpo",)

    def unsupported(self, interface: Interface) -> str | None:
        """Why this method can't run on a target with this interface, or ``None``."""
        return unsupported_by_models(interface)

    def learn_target(self, target: BudgetedTask, knowledge: Knowledge | None, ctx: Context) -> None:
        """Collect, fit and train in turn, from fresh models and a fresh policy."""
        del knowledge
        learn_on_models(target, SharedModels(target.interface, self.config, ctx.rng()), ctx)
