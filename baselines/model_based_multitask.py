"""model-based-multitask: dynamics learned on all sources; policies for new tasks are trained on them before any sample.

Document: Landolfi, Thomas and Ma (2019), *A Model-based Approach for Sample-efficient Multi-task Reinforcement
Learning*. Tasks are rewards, known as functions of a transition, over shared dynamics. In words: sources are taken one
after the other. Each gets a fresh policy, which is warmed up on the learned models (not on the first source: there is
no model yet); then real data is collected with noise on the policy's actions, the models are fitted to all data, and
the policy is trained on virtual samples, in turn, until the source's budget is spent. Only models and data are carried
over. On the target it is the same course: the policy that is evaluated at 0 % is the warm-up alone, which takes no
sample.

The document's text was not to be had beyond its abstract and a review of it. What it leaves open is taken from SLBO
(Luo et al. 2019), on which it builds, and from AdMRL, a later method of two of its authors; where they differ or are
too expensive for small budgets, this module chooses:

* Models: an ensemble of five networks of 2 x 128 units (SLBO trains one of 2 x 500 and lets policies meet it as it
  changes; the review says that models are meant to have more parameters than needed). Each
  predicts the normalised change of the observation, with SLBO's loss: L2 norm, two steps, Adam at 1e-3.
* Policies: the learner TRPO, with its settings on the target but for lanes, steps and minibatch, which are the virtual
  ones. Every rollout spreads its lanes over all members and plays episodes as long as the longest real one so far, from
  real start states: the sources', and the target's as they are met. The networks see normalised observations and act in
  [-1, 1].
* Budgets: three stages per source and five on the target, each an equal part of the budget. SLBO has 10,000 steps per
  stage, 20 rounds of 100 model and 40 policy updates; here 5 rounds of 200 and 10, and 100 policy updates of warm-up
  (AdMRL: 800). The models are not fitted during warm-up, when there is nothing new to fit.
* Old and new data: half of every minibatch is the present task's, so that a shift of the dynamics is learned before the
  budget is over. The knowledge holds at most 20,000 segments of the sources' data, start states and the horizon.
* A source whose reward is not known: abstains. A target of other sizes: begins without models, as on a first source.

`model-based-multitask-active` chooses the next source by score instead of at random: the lowest return predicted after
warm-up, or (``selection``) the models' relative error on data that the warmed-up policy collects (once per source:
samples are paid for), or their disagreement along its virtual episodes; among three candidates drawn from those left,
each warmed up to be scored. Every source has its own budget here, so with all of them visited the choice is one of
order; ``visits`` leaves out the rest, which gives the comparison at fewer samples that the document shows.

The control is `scratch-trpo`: all methods of the comparison share the axis of target samples, and its start. A gain
over it is of models and of transfer together; `model-based-single-task` is the same course without what is carried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from tlbench.baselines.common_interface import common_interface
from tlbench.baselines.learners.agent import ModelAgent
from tlbench.baselines.model_based.choosing import choose
from tlbench.baselines.model_based.config import MultitaskConfig
from tlbench.baselines.model_based.course import Build, Course
from tlbench.baselines.model_based.on_target import learn_on_models, unsupported_by_models
from tlbench.baselines.model_based.shared import SharedModels, fits
from tlbench.protocol.interface import (
    BudgetedTask,
    Context,
    Expert,
    Interface,
    JSONValue,
    Knowledge,
    Method,
    learn_from_scratch,
)


class ModelBasedMultitask(Method):
    """Learns dynamics shared by all tasks and trains policies on them, before and between real samples."""

    Config = MultitaskConfig
    id = "model-based-multitask"
    seconds_per_unit = 1.5e-3
    learners = ("trpo",)
    experts = 0
    variants: ClassVar[Mapping[str, Mapping[str, JSONValue]]] = {
        "model-based-multitask": {},
        "model-based-multitask-active": {"selection": "predicted-return"},
    }

    def unsupported(self, interface: Interface) -> str | None:
        """Why this method can't run on a target with this interface, or ``None``."""
        return unsupported_by_models(interface)

    def learn_source(
        self, sources: Sequence[BudgetedTask], experts: Sequence[Expert], ctx: Context
    ) -> Knowledge | None:
        """Learn the models, source after source; abstain where a source can't be learned with them.

        Raises:
            TlbenchError: If the sources' spaces differ.
        """
        del experts
        if any(unsupported_by_models(source.interface) for source in sources):
            return None
        rng = ctx.rng()
        shared = SharedModels(common_interface(sources), self.config, rng, self.config.fresh_share)
        courses = {
            number: Course(source, shared, ctx.learner_config, _fresh_agents(ctx, int(rng.integers(2**31))))
            for number, source in enumerate(sources)
        }
        budgets = [source.budget for source in sources]
        order: list[JSONValue] = []
        scores: list[JSONValue] = []
        errors: list[JSONValue] = []
        while courses and len(order) < (self.config.visits or len(sources)):
            choice = choose(courses, budgets, self.config, rng)
            course = courses.pop(choice.number)
            if not choice.scores:  # else it has been warmed up
                course.renew()
                course.warm_up(self.config.warm_up_updates)
            course.alternate(self.config.source_stages)
            course.finish()
            order.append(choice.number)
            scores.append(choice.facts())
            errors.append(list(course.errors))
        for course in courses.values():
            course.finish()  # what was collected there for a score is paid for
        return shared.knowledge(self.config.kept_segments,
            {"source_order": order, "source_scores": scores, "source_model_errors": errors,
             "source_model_updates": shared.fitter.updates}
        )  # fmt: skip

    def learn_target(self, target: BudgetedTask, knowledge: Knowledge | None, ctx: Context) -> None:
        """Warm a fresh policy up on the models, then collect, fit and train in turn."""
        if knowledge is None:
            learn_from_scratch(target, ctx)
            return
        shared = SharedModels(target.interface, self.config, ctx.rng(), self.config.fresh_share)
        carried = fits(knowledge, target.interface)
        if carried:
            shared.load(knowledge)
        ctx.diagnostics["carried_share"] = float(carried)
        learn_on_models(target, shared, ctx, self.config.warm_up_updates)


def _fresh_agents(ctx: Context, seed: int) -> Build:
    learner = ctx.learner
    assert learner is not None

    def build(interface: Interface, config: Any) -> ModelAgent:
        return cast(ModelAgent, learner.build(interface, config, seed, ctx.device))

    return build
