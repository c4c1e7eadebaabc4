from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.leaderboard.conftest import STUDY, records_of, small_suite, submission_of
from tlbench.leaderboard import keys
from tlbench.leaderboard import submission as submissions
from tlbench.leaderboard.assembly import assemble
from tlbench.leaderboard.controls import method_curves
from tlbench.leaderboard.submission import Counts, Submission, in_order, records_digest
from tlbench.leaderboard.validation import validate
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record
from tlbench.protocol.specs import SuiteSpec

SUITE = small_suite()
SUITES = {SUITE.id: SUITE}
ABOUT = {"name": "SPAM", "contact": "someone@example.org"}


TWO_SOURCES = """
[tasks.long]
environment = "tlbench/CartPole-v1"
options = { pole_half_length = 1.0 }
discount = 0.99
random_return = 0.0
expert_return = 100.0
threshold = 90.0
wall_limit = 60.0
source = { budget = 1000, points = 2, episodes = 1 }

[transfers.two]
sources = ["cartpole", "long"]
targets = ["negated"]
relation = "task-family"
"""


def with_records(spam: Submission, records: Sequence[Record], **metadata: Any) -> Submission:
    """A submission that was changed and packed again properly: only what it says can give it away."""
    draft = Submission(spam.metadata.model_copy(update=metadata), in_order(records))
    counted = Counts(method=len(draft.runs()), control=len(draft.controls()), expert=len(draft.experts()))
    try:
        digest = records_digest(records)
    except ValueError:  # not finite
        digest = "0" * 64
    update = {"records": counted, "records_digest": digest} | metadata
    return Submission(spam.metadata.model_copy(update=update), draft.records)


def changed(spam: Submission, change: Callable[[Record], dict[str, Any]], which: str = "spam-vpg") -> Submission:
    """One record of the method, the control or the experts is changed."""
    out, done = [], False
    for record in spam.records:
        name = record.method.id if record.method else "expert"
        if not done and name == which:
            update = change(record)
            record = record.model_copy(update=update)
            done = True
        out.append(record)
    return with_records(spam, out)


def refused(submission: Submission, message: str) -> None:
    with pytest.raises(TlbenchError, match=message) as error:
        validate(submission, SUITES)
    assert "\n" not in str(error.value)


def test_fine(spam: Submission, scratch: Submission) -> None:
    assert validate(spam, SUITES) is SUITE
    assert validate(scratch, SUITES) is SUITE
    assert validate(submission_of(SUITE, "random"), SUITES) is SUITE
    assert spam.metadata.source_class == "standard"
    assert spam.metadata.records == Counts(method=16, control=16, expert=8)
    assert scratch.metadata.records == Counts(method=16, control=0, expert=0)


class TestAMethodThatIsItsOwnControl:
    @pytest.fixture(scope="class")
    def maml(self) -> Submission:
        return submission_of(SUITE, "maml", mean=70.0, control=40.0)

    def test_its_runs_without_knowledge_are_the_controls(self, maml: Submission) -> None:
        assert validate(maml, SUITES) is SUITE
        assert maml.metadata.records == Counts(method=16, control=16, expert=0)
        assert all(r.knowledge_key for r in maml.runs())
        assert not any(r.knowledge_key for r in maml.controls())
        assert {r.control_key for r in maml.runs()} == {r.key for r in maml.controls()}

    def test_its_gain_is_over_them(self, maml: Submission) -> None:
        for task in method_curves(SUITE, maml, {}):
            assert (task.method - task.control).mean() == pytest.approx(30.0, abs=2.0)  # noise of deviation 1

    def test_a_control_of_other_settings_is_refused(self, maml: Submission) -> None:
        one = maml.controls()[0]
        assert one.method is not None
        other = one.method.model_copy(update={"config": {**one.method.config, "episodes": 7}})
        weak = [r.model_copy(update={"method": other}) if r is one else r for r in maml.records]
        refused(with_records(maml, weak), "is not its learner from scratch, nor the method without knowledge")

    def test_a_run_with_knowledge_is_no_control(self, maml: Submission) -> None:
        one, another = maml.runs()[:2]
        swapped = [r.model_copy(update={"control_key": another.key}) if r is one else r for r in maml.records]
        refused(with_records(maml, swapped), "is not its learner from scratch, nor the method without knowledge")


def test_a_method_may_take_the_first_of_several_sources_alone() -> None:
    suite = small_suite(2, TWO_SOURCES)
    first, both = (submission_of(suite, method) for method in ("finetune-dqn", "distill-last1-fixed-dqn"))
    for submission, sources, experts in ((first, ("cartpole",), 2), (both, ("cartpole", "long"), 4)):
        assert validate(submission, {suite.id: suite}) is suite
        assert {r.sources for r in submission.runs() if "two" in r.transfers} == {sources}
        assert submission.metadata.records.expert == experts
        assert submission.metadata.source_class == "standard"
    last = changed(first, lambda r: {"sources": ("long",)}, "finetune-dqn")
    with pytest.raises(TlbenchError, match="its sources are not those of"):
        validate(last, {suite.id: suite})


def test_a_learner_with_settings_of_the_suite_and_of_the_user() -> None:
    suite = small_suite(extra=STUDY)
    submission = submission_of(suite, settings={"learner.log_std_init": 0.25})
    assert validate(submission, {suite.id: suite}) is suite
    runs, _ = records_of(suite, "scratch-vpg", settings={"learner.log_std_init": 0.25})
    with pytest.raises(TlbenchError, match="choose one with --config") as error:
        assemble(suite, runs, [], method="scratch-vpg", about=ABOUT)
    assert "learner.log_std_init=0.25" in str(error.value)
    hashes = [r.config_hash for r in runs if r.control_key != r.key]
    own = assemble(suite, runs, [], method="scratch-vpg", about=ABOUT, configs=hashes[:1])
    assert own.metadata.records.control == own.metadata.records.method  # not its own control


class TestRefusedSets:
    def test_incomplete(self, spam: Submission) -> None:
        gone = next(r for r in spam.runs() if r.seed == 3)
        refused(with_records(spam, [r for r in spam.records if r is not gone]), r"incomplete: 1 of 16 .*seed 3")

    def test_quick(self, spam: Submission) -> None:
        refused(with_records(spam, spam.records, suite="small-v1-quick"), "quick records")
        refused(changed(spam, lambda r: {"submittable": False}), "quick records")

    def test_unknown_suite(self, spam: Submission) -> None:
        refused(with_records(spam, spam.records, suite="other-v1"), "'other-v1' is not known here; known: small-v1")

    def test_foreign_digest(self, spam: Submission) -> None:
        refused(with_records(spam, spam.records, digest="0" * 64), "made with another small-v1: its digest is 000")
        refused(changed(spam, lambda r: {"digest": "0" * 64}), "another suite or digest")

    def test_duplicated(self, spam: Submission) -> None:
        refused(with_records(spam, [*spam.records, spam.runs()[0]]), "there 2 times: records are duplicated")
        twin = spam.runs()[0].model_copy(update={"key": "a" * 64})
        refused(with_records(spam, [*spam.records, twin]), "was run 2 times: runs are duplicated")

    def test_no_controls(self, spam: Submission) -> None:
        gone = spam.controls()[0]
        refused(with_records(spam, [r for r in spam.records if r is not gone]), "the control of .* is missing")

    def test_no_experts(self, spam: Submission) -> None:
        gone = spam.experts()[0]
        refused(with_records(spam, [r for r in spam.records if r is not gone]), "an expert of .* is missing")

    def test_what_belongs_to_nothing(self, spam: Submission, scratch: Submission) -> None:
        more = submission_of(SUITE, settings={"learner.learning_rate": 0.5}).runs()[0]
        refused(with_records(spam, [*spam.records, more]), "1 records belong to no run")

    def test_several_configurations(self, spam: Submission) -> None:
        other = submission_of(SUITE, settings={"learner.learning_rate": 0.5})
        mixed = [r for r in spam.records if r not in spam.runs() or r.transfers == ("self",)]
        mixed += [r for r in other.runs() if r.transfers == ("close",)]
        configurations = submissions.configurations([r for r in mixed if r.method and r.method.id == "spam-vpg"])
        refused(with_records(spam, mixed, configurations=configurations), "one configuration for the whole suite")
        tuned = with_records(spam, mixed, configurations=configurations, ruleset="tuned")
        assert validate(tuned, SUITES) is SUITE
        within = [r for r in spam.records if r not in spam.runs() or r.seed > 0]
        within += [r for r in other.runs() if r.seed == 0]
        configurations = submissions.configurations([r for r in within if r.method and r.method.id == "spam-vpg"])
        submission = with_records(spam, within, configurations=configurations, ruleset="tuned")
        refused(submission, "one configuration per transfer task")

    def test_metadata_that_is_wrong(self, spam: Submission) -> None:
        for change, name in (
            ({"source_class": "multi-expert"}, "source_class"),
            ({"seeds": 100}, "seeds"),
            ({"version": "2"}, "version"),
            ({"learner": None}, "learner"),
        ):
            refused(with_records(spam, spam.records, **change), f"wrong about its records: {name}")
        counts = spam.metadata.model_copy(update={"records": Counts(method=1, control=1, expert=1)})
        refused(Submission(counts, spam.records), "wrong about its records: records")
        wrong = spam.metadata.configurations[0].model_copy(update={"method": {"id": "better"}})
        refused(with_records(spam, spam.records, configurations=[wrong]), "configurations does not follow")

    def test_another_method(self, spam: Submission) -> None:
        refused(with_records(spam, spam.records, method="other"), "there are no runs of other")

    def test_too_much_source_is_a_class_of_its_own(self, spam: Submission) -> None:
        suite = SUITE
        runs = [r.model_copy(update={"steps": r.steps.model_copy(update={"source": 1251})}) for r in spam.runs()]
        from tlbench.leaderboard.validation import source_class

        assert source_class(suite, spam.runs()) == "standard"
        assert source_class(suite, runs) == "multi-expert"


def point(record: Record, number: int, **update: Any) -> dict[str, Any]:
    points = list(record.curve)
    points[number] = points[number].model_copy(update=update)
    return {"curve": tuple(points)}


def steps(**update: int) -> Callable[[Record], dict[str, Any]]:
    return lambda r: {"steps": r.steps.model_copy(update=update)}


class TestRefusedRecords:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (steps(target=1001), "budget violated: 1,001 target steps of 1,000"),
            (steps(extraction=251), "budget violated: 251 extraction steps of 250"),
            (steps(source=999), "other source steps than its experts took"),
            (lambda r: {"curve": r.curve[:-1]}, "has 2 points, the schedule 3"),
            (lambda r: {"curve": (*r.curve, r.curve[-1])}, "has 4 points"),
            (lambda r: {"curve": (), "diverged": True}, "has 0 points"),
            (lambda r: point(r, 1, fraction=0.4), "at fraction 0.4, the schedule says 0.5"),
            (lambda r: point(r, 1, count=499), "taken at count 499, due at 500"),
            (lambda r: point(r, 1, count=1001), "taken at count 1001"),
            (lambda r: point(r, 0, count=16), "after learning began"),
            (lambda r: point(r, 1, returns=(1.0,)), "has not 2 episodes"),
            (lambda r: point(r, 1, lengths=(7,) * 3), "has not 2 episodes"),
            (lambda r: point(r, 1, lengths=(7, 0)), "impossible length"),
            (lambda r: point(r, 1, returns=(1.0, float("nan"))), "not finite"),
            (lambda r: point(r, 1, returns=(1.0, float("inf"))), "not finite"),
            (lambda r: point(r, 1, returns=(1.0, -1e300)), "too large"),
            (lambda r: {"training": r.training.model_copy(update={"returns": (1.0,)})}, "1 bins, not 100"),
            (
                lambda r: {"training": r.training.model_copy(update={"episodes": (0,) * 100})},
                "a return but no episode",
            ),
            (lambda r: {"transfers": ("nothing",)}, "no transfer task 'nothing'"),
            (lambda r: {"transfers": ()}, "serves no transfer task"),
            (lambda r: {"target": "nothing"}, "no task 'nothing'"),
            (lambda r: {"seed": 8}, "seeds 0 to 7"),
            (lambda r: {"seed": -1}, "seeds 0 to 7"),
            (lambda r: {"expert_seed": 5}, "expert seed is none"),
            (lambda r: {"sources": ()}, "sources are not those"),
            (lambda r: {"knowledge_key": None}, "has no knowledge"),
            (lambda r: {"control_key": None}, "needs a method and a control"),
            (lambda r: {"key": "<script>"}, "no SHA-256"),
            (lambda r: {"key": "b" * 64}, "its key does not follow"),
            (lambda r: {"config_hash": r.config_hash, "knowledge_key": "b" * 64}, "key does not follow"),
            (lambda r: {"gradient_steps": -1}, "gradient steps"),
            (lambda r: {"provenance": {"home": "x" * 1000}}, "provenance"),
            (lambda r: {"provenance": {"python": "a\nb"}}, "provenance"),
            (lambda r: {"provenance": {"wall_seconds": "long"}}, "wall time"),
            (lambda r: {"learner": r.learner.model_copy(update={"version": "<b>"})}, "not allowed"),
            (lambda r: {"learner": r.learner.model_copy(update={"version": "9"})}, "control of .* is not its learner"),
            (
                lambda r: {"experts": (r.experts[0].model_copy(update={"mean_return": 1.0}),)},
                "reached another return",
            ),
            (lambda r: {"experts": ()}, "budget violated|key does not follow"),
        ],
    )
    def test_of_the_method(self, spam: Submission, change: Any, message: str) -> None:
        refused(changed(spam, change), message)

    def test_of_a_control(self, spam: Submission) -> None:
        refused(changed(spam, steps(source=5), "scratch-vpg"), "budget violated: 5 source steps of 0")
        other = spam.controls()[1]
        refused(changed(spam, lambda r: {"control_key": other.key}, "scratch-vpg"), "control of")
        refused(changed(spam, lambda r: {"config_hash": "c" * 64}, "scratch-vpg"), "configuration hash is not")

    def test_of_an_expert(self, spam: Submission) -> None:
        refused(changed(spam, steps(source=1001), "expert"), "budget violated: 1,001 source steps")
        refused(changed(spam, lambda r: {"seed": 55}, "expert"), "seed that is not the run's")
        refused(changed(spam, lambda r: {"target": "negated"}, "expert"), "is no source")
        refused(changed(spam, lambda r: {"transfers": ("close",)}, "expert"), "neither method nor knowledge")

    def test_above_the_highest_return(self, spam: Submission) -> None:
        on_cartpole = next(r for r in spam.runs() if r.target == "cartpole")
        records = [
            r.model_copy(update=point(r, 1, returns=(1.0, 501.0))) if r is on_cartpole else r for r in spam.records
        ]
        refused(with_records(spam, records), "above the task's highest, 500")

    def test_a_diverged_run_may_be_shorter(self, spam: Submission) -> None:
        submission = changed(spam, lambda r: {"curve": r.curve[:2], "diverged": True})
        assert validate(submission, SUITES) is SUITE


class TestAssembly:
    def test_nothing_there(self) -> None:
        runs, experts = records_of(SUITE)
        with pytest.raises(TlbenchError, match=r"no runs of 'other' here; there are: scratch-vpg, spam-vpg"):
            assemble(SUITE, runs, experts, method="other", about=ABOUT)

    def test_several_configurations(self) -> None:
        runs, experts = records_of(SUITE)
        more, _ = records_of(SUITE, settings={"learner.learning_rate": 0.5})
        both = [*runs, *more]
        with pytest.raises(TlbenchError, match="choose one with --config") as error:
            assemble(SUITE, both, experts, method="spam-vpg", about=ABOUT)
        chosen = next(r for r in runs if r.method and r.method.id == "spam-vpg").config_hash
        assert chosen[:8] in str(error.value)
        found = assemble(SUITE, both, experts, method="spam-vpg", about=ABOUT, configs=[chosen[:8]])
        assert found.hashes == {chosen}
        with pytest.raises(TlbenchError, match="fits no or several"):
            assemble(SUITE, both, experts, method="spam-vpg", about=ABOUT, configs=["zz"])

    def test_quick_suite(self) -> None:
        suite: SuiteSpec = SUITE.quick_form()
        with pytest.raises(TlbenchError, match="quick records"):
            assemble(suite, [], [], method="spam-vpg", about=ABOUT)

    def test_bad_text(self) -> None:
        runs, experts = records_of(SUITE)
        with pytest.raises(TlbenchError, match="can't be submitted: contact"):
            assemble(SUITE, runs, experts, method="spam-vpg", about={**ABOUT, "contact": " "})


def test_many_experts_of_another_learner_are_a_class_of_their_own(spam: Submission) -> None:
    suite = small_suite(seeds=2)
    latent = submission_of(suite, "neuroevolution-latent")
    assert validate(latent, {suite.id: suite}) is suite
    assert latent.metadata.source_class == "multi-expert"
    assert latent.metadata.records.expert == 60
    others = {r.key: r for r in latent.records}
    assert all(keys.knowledge_key_of(r, suite, others) == r.knowledge_key for r in latent.runs())
    refused(
        changed(spam, lambda r: {"learner": r.learner and r.learner.model_copy(update={"id": "ppo"})}, "expert"),
        "is of another learner",
    )


def test_keys_are_those_of_the_plan(spam: Submission, scratch: Submission) -> None:
    """The leaderboard recomputes what the planner computed, for every record that can be."""
    study = submission_of(small_suite(extra=STUDY), settings={"learner.log_std_init": 0.25})
    for submission, suite in ((spam, SUITE), (scratch, SUITE), (study, small_suite(extra=STUDY))):
        others = {r.key: r for r in submission.records}
        for record in submission.records:
            assert keys.key_of(record, suite) == record.key
            if record.kind == "run":
                assert keys.knowledge_key_of(record, suite, others) == record.knowledge_key
                assert keys.config_hash_of(record, suite) in (None, record.config_hash)


def test_protocol_version_is_the_planners() -> None:
    from tlbench.execution import plan
    from tlbench.leaderboard import record_checks, validation
    from tlbench.protocol import metered

    assert keys.PROTOCOL == plan.PROTOCOL
    assert validation.EXPERT_SEED_STRIDE == plan.EXPERT_SEED_STRIDE
    assert record_checks.TRAINING_BINS == metered.TRAINING_BINS
