"""Good methods pass; each kind of bad plugin is named by the check that it fails."""

import textwrap

import numpy as np
import pytest
from gymnasium import spaces
from typer.testing import CliRunner

from tlbench.cli.app import app
from tlbench.cli.commands.check import lines
from tlbench.cli.conformance import check_method, choose_transfers
from tlbench.execution.conformance import Check
from tlbench.execution.selection import MethodChoice
from tlbench.protocol.discovery import find_suite, methods
from tlbench.protocol.interface import Interface

TEMPLATE = '''
import time
import numpy as np
import torch
import gymnasium
from gymnasium import spaces
from tlbench import BudgetExhausted, Config, DivergedError, Knowledge, Method, StartingPointMethod


class ThePolicy:
    """Its weights drift with training."""

    def __init__(self, space, weights=None):
        self.space, self.weights = space, np.ones(2) if weights is None else weights

    def choose(self, obs):
        scores = obs.reshape(len(obs), -1).sum(axis=1) + self.weights[0] - 1.0
        if isinstance(self.space, spaces.Discrete):
            return (scores > 0).astype(np.int64)
        return np.clip(scores[:, None], self.space.low, self.space.high).astype(np.float32)

    def act(self, obs, state, first):
        return self.choose(obs), state

    def frozen(self):
        return type(self)(self.space, self.weights.copy())


class TheMethod(Method):
    """A method."""

    id = "the-method"
    learners, experts, control = (), 0, "self"
    policy_class = ThePolicy

    def learn_source(self, sources, experts, ctx):
        return Knowledge({"weights": torch.ones(2)}, data={"a": [1, 2]})

    def learn_target(self, target, knowledge, ctx):
        policy = self.policy_class(target.interface.action_space)
        target.publish(policy)
        envs, rng = target.envs(4), ctx.rng()
        obs = envs.reset()
        while True:
            actions = self.explore(envs.action_space, policy, obs, rng)
            obs, rewards, dones, infos = envs.step(actions)
            policy.weights = policy.weights + 0.001 * rewards.mean()

    def explore(self, space, policy, obs, rng):
        return policy.choose(obs + rng.normal(size=obs.shape))
'''

LEARN_TARGET = """
    def learn_target(self, target, knowledge, ctx):
        policy = self.policy_class(target.interface.action_space)
"""


def method(body):
    return f"{TEMPLATE}\n{textwrap.dedent(body)}"


def overridden(body):
    """The good method with other members."""
    base = TEMPLATE.replace("class TheMethod(Method)", "class _Base(Method)").replace('    id = "the-method"\n', "")
    return base + (
        "\n\nclass TheMethod(_Base):\n    id = 'the-method'\n" + textwrap.indent(textwrap.dedent(body), "    ")
    )


def with_policy(body):
    """The good method with another policy."""
    policy = "\n\nclass OtherPolicy(ThePolicy):\n" + textwrap.indent(textwrap.dedent(body), "    ")
    return TEMPLATE + policy + "\n\nTheMethod.policy_class = OtherPolicy\n"


BAD = {
    "publishes late": (
        overridden("""
            def learn_target(self, target, knowledge, ctx):
                envs = target.envs(2)
                envs.reset()
                target.publish(ThePolicy(envs.action_space))
        """),
        Check.PUBLISHES,
        "publish a policy before",
    ),
    "publishes no policy": (
        overridden("def learn_target(self, target, knowledge, ctx): target.publish(3)"),
        Check.PUBLISHES,
        "int is no policy",
    ),
    "acts outside the space": (
        overridden("def explore(self, space, policy, obs, rng): return policy.choose(obs) + 7"),
        Check.ACTIONS,
        "outside the action space",
    ),
    "evaluates outside the space": (
        with_policy("def act(self, obs, state, first): return self.choose(obs) + 7, state"),
        Check.ACTIONS,
        "outside the action space",
    ),
    "acts in the wrong shape": (
        with_policy("def act(self, obs, state, first): return self.choose(obs)[:1], state"),
        Check.ACTIONS,
        "shape",
    ),
    "NaN in training": (
        overridden("def explore(self, space, policy, obs, rng): return policy.choose(obs) * np.nan"),
        Check.ACTIONS,
        "not finite",
    ),
    "NaN in evaluation": (
        with_policy("def act(self, obs, state, first): return self.choose(obs) * np.nan, state"),
        Check.ACTIONS,
        "not finite",
    ),
    "diverges": (
        overridden("def explore(self, space, policy, obs, rng): raise DivergedError('weights are not finite')"),
        Check.ACTIONS,
        "the run diverged: weights are not finite",
    ),
    "learns in act": (
        with_policy("""
            def act(self, obs, state, first):
                self.weights = self.weights + 0.01 * np.abs(obs).mean()
                return self.choose(obs), state
        """),
        Check.ACTING,
        "asked again",
    ),
    "frozen returns itself": (
        with_policy("def frozen(self): return self"),
        Check.COPIES,
        "acts differently after training",
    ),
    "frozen changes training": (
        with_policy("""
            def frozen(self):
                copy = super().frozen()
                self.weights = self.weights - 0.1
                return copy
        """),
        Check.POINTS,
        "11 points instead of 2",
    ),
    "builds an environment": (
        overridden("def explore(self, space, policy, obs, rng): gymnasium.make('CartPole-v1')"),
        Check.ENVIRONMENT,
        "environment of its own",
    ),
    "builds an environment and hides it": (
        overridden("""
            def explore(self, space, policy, obs, rng):
                try:
                    gymnasium.make('CartPole-v1')
                except Exception:
                    return policy.choose(obs)
        """),
        Check.ENVIRONMENT,
        "environment of its own",
    ),
    "builds an environment at import": (
        method("ENV = gymnasium.make('CartPole-v1')"),
        Check.ENVIRONMENT,
        "environment of its own",
    ),
    "swallows the end": (
        overridden(
            LEARN_TARGET
            + """
        target.publish(policy)
        envs = target.envs(2)
        envs.reset()
        while True:
            try:
                envs.step(policy.choose(np.zeros((2, 4))))
            except BaseException:
                pass
        """
        ),
        Check.BUDGET,
        "went on after its budget's end",
    ),
    "swallows the end for a while": (
        overridden(
            LEARN_TARGET
            + """
        target.publish(policy)
        envs = target.envs(2)
        envs.reset()
        for _ in range(1000):
            try:
                envs.step(policy.choose(np.zeros((2, 4))))
            except BudgetExhausted:
                pass
        """
        ),
        Check.BUDGET,
        "metered calls after the end",
    ),
    "hangs": (
        overridden("def learn_target(self, target, knowledge, ctx): time.sleep(1000)"),
        Check.RUNS,
        "still running after its wall limit of 3 s",
    ),
    "hangs at import": (method("time.sleep(1000)"), Check.LOADS, "still running after its wall limit of 3 s"),
    "kills its process": (
        overridden("def learn_target(self, target, knowledge, ctx): import os; os.kill(os.getpid(), 9)"),
        Check.RUNS,
        "killed by SIGKILL",
    ),
    "exits at import": (method("import os; os._exit(0)"), Check.LOADS, "ended early"),
    "raises": (
        overridden("def explore(self, space, policy, obs, rng): return {}['missing']"),
        Check.RUNS,
        "KeyError: 'missing' (bad.py, line",
    ),
    "raises on the source": (
        overridden("def learn_source(self, sources, experts, ctx): return experts[0]"),
        Check.RUNS,
        "IndexError",
    ),
    "diverges on the source": (
        overridden("def learn_source(self, sources, experts, ctx): raise DivergedError('too large')"),
        Check.KNOWLEDGE,
        "learning on the sources diverged: too large",
    ),
    "unseeded": (
        overridden("""
            def explore(self, space, policy, obs, rng):
                return policy.choose(obs + np.random.default_rng().normal(size=obs.shape))
        """),
        Check.DETERMINISTIC,
        "draw all randomness from",
    ),
    "unseeded knowledge": (
        overridden("""
            def learn_source(self, sources, experts, ctx):
                return Knowledge({"weights": torch.tensor(np.random.default_rng().normal(size=2))})
        """),
        Check.DETERMINISTIC,
        "(knowledge)",
    ),
    "infinite knowledge": (
        overridden("def learn_source(self, sources, experts, ctx): return Knowledge({'a': torch.ones(1) / 0})"),
        Check.KNOWLEDGE,
        "not finite",
    ),
    "knowledge that changes": (
        overridden("def learn_source(self, sources, experts, ctx): return Knowledge({}, data={'a': (1, 2)})"),
        Check.KNOWLEDGE,
        "its data don't survive JSON: ",
    ),
    "knowledge that is no JSON": (
        overridden("def learn_source(self, sources, experts, ctx): return Knowledge({}, diagnostics={'a': {1, 2}})"),
        Check.KNOWLEDGE,
        "its diagnostics don't survive JSON: ",
    ),
    "knowledge with mixed keys": (
        overridden("def learn_source(self, sources, experts, ctx): return Knowledge({}, data={'a': 1, 3: 4})"),
        Check.KNOWLEDGE,
        "its data don't survive JSON: ",
    ),
    "diagnostics that are no JSON": (
        overridden(
            LEARN_TARGET + "        target.publish(policy)\n        ctx.diagnostics['a'] = np.zeros(3)\n",
        ),
        Check.DIAGNOSTICS,
        "finite JSON",
    ),
    "syntax error": ("def learn(:", Check.LOADS, "SyntaxError"),
    "no method": ("import tlbench", Check.LOADS, "has no method"),
    "a starting point without a learner": (
        "from tlbench import StartingPointMethod\n\n\nclass A(StartingPointMethod):\n    id = 'a'\n",
        Check.LOADS,
        'give the class learners = ("vpg",)',
    ),
    "experts without a learner": (
        overridden("experts = 1"),
        Check.LOADS,
        "wants experts but has no learner",
    ),
    "an id that is no name": (overridden("id = '../escape'"), Check.LOADS, "letters, digits and hyphens"),
    "an id that a control could have": (overridden("id = 'scratch-mine'"), Check.LOADS, "kept for learners"),
    "a config that is no model": (overridden("Config = dict"), Check.SETTINGS, "derive from tlbench.Config"),
    "an invalid default": (
        overridden("class Config(Config):\n    steps: int = 'many'"),
        Check.SETTINGS,
        "steps: Input should be a valid integer",
    ),
    "a config that takes anything": (
        method("import pydantic\nTheMethod.Config = type('Loose', (pydantic.BaseModel,), {})"),
        Check.SETTINGS,
        "unknown keys",
    ),
    "an init that drops the config": (
        overridden("def __init__(self, config=None): pass"),
        Check.SETTINGS,
        "super().__init__(config)",
    ),
}


@pytest.fixture(scope="module")
def suite():
    return find_suite("classic")


def check(path, suite, **options):
    options = {"tasks": ["inverted-pendulum-self"], "budget": 1000, "wall_limit": 30.0, **options}
    return check_method(str(path), suite, **options)


CARTPOLE = Interface(spaces.Box(-np.inf, np.inf, (4,)), spaces.Discrete(2), 0.99)
UNSUPPORTED = {name: MethodChoice(name).method().unsupported(CARTPOLE) or "" for name in methods()}
FOR_DEEPER_NETWORKS = {name for name, reason in UNSUPPORTED.items() if "weighted layers" in reason}


def every_method():
    """All that run on CartPole; slow but for a method's first variant and a learner's first method."""
    seen = set()
    for name in sorted(name for name, reason in UNSUPPORTED.items() if not reason):
        entry = methods()[name]
        told_apart = {entry.cls.__qualname__, entry.learner}
        yield pytest.param(name, marks=[pytest.mark.slow] if told_apart <= seen else [])
        seen |= told_apart


@pytest.mark.parametrize("name", every_method())
def test_every_method_that_is_found_passes(name, suite):
    report = check_method(name, suite, fast=True, budget=2500, jobs=2)
    assert report.ok, lines(report)
    assert 1 <= len(report.transfers) <= 2


def test_methods_for_deeper_networks_say_so(suite):
    assert {"layer-copy-first4-dqn", "layer-copy-last5-frozen-dqn"} <= FOR_DEEPER_NETWORKS
    for name in FOR_DEEPER_NETWORKS:
        report = check_method(name, suite, fast=True, budget=2500, jobs=2)
        assert not report.ok
        assert any("weighted layers" in line for line in lines(report))


def test_a_good_method_in_a_file_passes_on_every_kind(tmp_path, suite):
    path = tmp_path / "good.py"
    path.write_text(TEMPLATE)
    report = check_method(str(path), suite, budget=1000, jobs=2)
    assert report.ok, lines(report)
    assert len(report.transfers) >= 4


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_method_is_named(name, tmp_path, suite):
    code, expected, text = BAD[name]
    path = tmp_path / "bad.py"
    path.write_text(code)
    report = check(path, suite, wall_limit=3.0 if "hang" in name else 30.0)
    failed = report.failed()
    assert expected in failed, lines(report)
    assert any(text in message for message in failed[expected]), failed
    assert not any("\n" in line for line in lines(report))
    assert Check.RUNS not in failed or expected is Check.RUNS, failed


def test_frozen_roles_that_change_are_named(tmp_path, suite):
    path = tmp_path / "thaws.py"
    path.write_text(
        textwrap.dedent("""
            from tlbench import StartingPointMethod, carried

            class Thaws(StartingPointMethod):
                id = "thaws"
                learners = ("vpg",)

                def transform(self, knowledge, fresh, ctx):
                    return carried(knowledge.tensors, fresh), ["head.weight", "body.0.bias"]

                def learn_target(self, target, knowledge, ctx):
                    agent = ctx.build(target.interface)
                    agent.load(*self.transform(knowledge, agent.params(), ctx))
                    for parameter in agent.model.policy.parameters():
                        parameter.requires_grad_(True)
                    agent.train(target)
        """)
    )
    report = check(path, suite, tasks=["cartpole-self"], budget=3000)
    assert any("head.weight changed" in message for message in report.failed()[Check.ROLES]), lines(report)


def test_a_hanging_method_is_given_up_after_one_run(tmp_path, suite):
    path = tmp_path / "bad.py"
    path.write_text(BAD["hangs"][0])
    report = check(path, suite, tasks=None, wall_limit=2.0)
    assert [len(places) for places in report.problems.values()] == [1]


def test_kinds_differ_in_actions_and_observations(suite):
    chosen, _ = choose_transfers(suite, MethodChoice("spam"), None, fast=False)
    assert {"discrete -> discrete", "discrete -> continuous", "continuous -> discrete"} <= set(chosen)
    fast, _ = choose_transfers(suite, MethodChoice("spam"), None, fast=True)
    assert set(fast) == {"same actions", "other actions"}


class TestCommand:
    run = staticmethod(lambda *arguments: CliRunner().invoke(app, ["check", *arguments]))

    def test_a_good_method(self):
        result = self.run("finetune-vpg", "--tasks", "cartpole-self", "--budget", "1000")
        assert result.exit_code == 0, result.output
        assert result.stdout.count("ok: ") == len(Check)

    def test_a_bad_method(self, tmp_path):
        path = tmp_path / "bad.py"
        path.write_text(BAD["raises"][0])
        result = self.run(str(path), "--tasks", "cartpole-self", "--budget", "1000")
        assert result.exit_code == 1
        assert "FAILED: its runs end well: KeyError" in result.stdout
        assert "not checked: " in result.stdout

    def test_settings(self):
        result = self.run("spam", "--set", "stepz=3", "--tasks", "cartpole-self")
        assert result.exit_code == 1
        assert "FAILED: its settings are valid: settings of spam-vpg: stepz" in result.stdout
        wrong = self.run("spam", "--set", "learner.speed=3", "--tasks", "cartpole-self")
        assert "FAILED: its settings are valid: settings of vpg: speed" in wrong.stdout

    def test_an_unknown_method(self):
        result = self.run("spum")
        assert result.exit_code == 1
        assert "FAILED: it can be loaded: unknown method 'spum'; did you mean spam" in result.stdout
