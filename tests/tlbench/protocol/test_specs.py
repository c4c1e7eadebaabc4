"""Suites as data: what is refused and how it is told, the digest, the quick form, identities."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tlbench.protocol.discovery import suites
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import Schedule, SuiteSpec, load_suite, parse_suite


def refused(text: str) -> str:
    with pytest.raises(TlbenchError) as caught:
        parse_suite(text, "some.toml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("some.toml")
    return message


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('title = "Tiny"', 'title = "Tiny"\ncolour = "red"', "colour"),
        ("wall_limit = 600.0", "wall_limit = 60.0\nlimit = 1", "tasks.cartpole.limit"),
        ("points = 4", "points = 4, lanes = 3", "tasks.cartpole.source.lanes"),
        ("random_return = 22.0", "random_return = nan", "random_return: Input should be a finite number"),
        ("threshold = 475.0", "threshold = inf", "threshold"),
        ("seeds = 3", 'seeds = "3"', "seeds: Input should be a valid integer"),
        ("seeds = 3", "seeds = 3.0", "seeds"),
        ("seeds = 3", "seeds = 0", "seeds"),
        ("budget = 2400, points = 4", 'budget = "2400", points = 4', "source.budget"),
        ("budget = 2400, points = 4", "budget = -1, points = 4", "source.budget"),
        ("points = 5", "points = 1", "target.points"),
        ("scored = false", 'scored = "no"', "scored"),
        ('relation = "self"', 'relation = "same"', "transfers.self.relation"),
        ('targets = ["negated"]', 'targets = ["nagated"]', "inversion names an unknown task: nagated"),
        ('sources = ["cartpole"]\ntargets = ["negated"]', 'sources = ["negated"]\ntargets = ["negated"]', "no source"),
        ('quick = ["self"]', 'quick = ["me"]', "quick names an unknown transfer task: me"),
        ("expert_return = 500.0", "expert_return = 10.0", "expert_return must be above random_return"),
        ("discount = 0.95", "discount = 1.5", "tasks.pendulum.discount"),
        ("discount = 0.95", "", "tasks.pendulum.discount: Field required"),
        ("schema_version = 1", "schema_version = 2", "schema_version"),
        ('title = "Tiny"', "title = 2020-01-01", "date"),
        ("[tasks.pendulum]", "[tasks.Pendulum_X]", "Pendulum_X"),
        ("options = { observation_sign = -1 }", "options = { observation_sign = [1] }", "options.observation_sign"),
        (
            "options = { observation_sign = -1 }",
            "observation_map = { indices = [0, 1], signs = [1] }",
            "signs must be as many",
        ),
        (
            "options = { observation_sign = -1 }",
            "observation_map = { indices = [0], signs = [2] }",
            "observation_map.signs",
        ),
        ("version = 1\n", "version = = 1\n", "not valid TOML"),
    ],
)
def test_a_wrong_suite_is_refused_with_one_line_that_names_the_place(
    tiny_text: str, old: str, new: str, part: str
) -> None:
    assert old in tiny_text
    assert part in refused(tiny_text.replace(old, new))


def test_a_suite_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "absent.toml", tmp_path / "binary.toml", tmp_path):
        with pytest.raises(TlbenchError, match="can't read the suite") as caught:
            load_suite(path)
        assert "\n" not in str(caught.value)


def test_digest_knows_content_only(tiny: SuiteSpec, tiny_text: str) -> None:
    shuffled = tiny_text.replace(
        "discount = 0.99\nrandom_return = 22.0", "random_return = 22\n\n# why\ndiscount = 0.99"
    )
    assert shuffled != tiny_text
    head, *tables = shuffled.split("\n[")
    reordered = "\n[".join([head, *reversed(tables)])
    assert parse_suite(reordered, "x").digest == tiny.digest
    assert parse_suite(tiny_text.replace("scored = false", "scored = false\nlearner = {}"), "x").digest == tiny.digest
    assert len(tiny.digest) == 64


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if children is None:
        return [path]
    return [leaf for key, child in children for leaf in leaves(child, (*path, key))]


def changed(content: Any, path: tuple[Any, ...]) -> Any:
    copy = json.loads(json.dumps(content))
    place = copy
    for step in path[:-1]:
        place = place[step]
    value = place[path[-1]]
    if isinstance(value, bool):
        place[path[-1]] = not value
    elif isinstance(value, str):
        place[path[-1]] = {"tiny": "tinier", "self": "in-domain"}.get(value, value + " indeed")
    else:
        place[path[-1]] = value * 0.5 - 0.125 if isinstance(value, float) else value + 1
    return copy


def test_digest_changes_with_every_value(tiny: SuiteSpec, tiny_text: str) -> None:
    content = tomllib.loads(tiny_text)
    digests = {tiny.digest}
    tried = 0
    for path in leaves(content):
        try:
            other = SuiteSpec.model_validate(changed(content, path))
        except ValueError:
            continue  # a name that others refer to, or a value out of its range
        tried += 1
        digests.add(other.digest)
    assert tried > 30
    assert len(digests) == tried + 1


def test_id_is_name_and_version(tiny: SuiteSpec) -> None:
    assert tiny.id == "tiny-v1"
    assert tiny.quick_form().id == "tiny-v1-quick"


def test_quick_form_is_small_and_not_submittable(tiny: SuiteSpec) -> None:
    quick = tiny.quick_form()
    assert (quick.seeds, quick.submittable, tiny.submittable) == (2, False, True)
    assert list(quick.transfers) == ["self"]
    assert list(quick.tasks) == ["cartpole"]
    target, small = tiny.tasks["cartpole"].schedule("target"), quick.tasks["cartpole"].schedule("target")
    assert small == Schedule(budget=target.budget // 10, points=5, episodes=3)
    assert quick.digest != tiny.digest


def test_schedules_are_equal_fractions() -> None:
    schedule = Schedule(budget=10, points=5, episodes=1)
    assert schedule.target_fractions() == [0, 0.25, 0.5, 0.75, 1]
    assert schedule.source_fractions() == [0.2, 0.4, 0.6, 0.8, 1]
    assert schedule.scaled(0.01).budget == 1


def test_identity_holds_what_a_run_depends_on_and_nothing_else(vary: Callable[..., SuiteSpec]) -> None:
    base = vary().tasks["cartpole"]
    for old, new in (
        ("threshold = 475.0", "threshold = 400.0"),
        ("random_return = 22.0", "random_return = 23.0"),
        ("wall_limit = 600.0", "wall_limit = 601.0"),
        ("max_return = 500.0\n", ""),
    ):
        other = vary((old, new)).tasks["cartpole"]
        assert other != base
        assert other.identity("target") == base.identity("target")
        assert other.identity("source") == base.identity("source")
    for old, new in (
        ("discount = 0.99", "discount = 0.98"),
        ("budget = 2400, points = 5", "budget = 2500, points = 5"),
        ("points = 5, episodes = 3", "points = 5, episodes = 4"),
        ('environment = "tlbench/CartPole-v1"', 'environment = "CartPole-v1"'),
    ):
        assert vary((old, new)).tasks["cartpole"].identity("target") != base.identity("target")
    assert vary().tasks["negated"].identity("target") != base.identity("target")
    with pytest.raises(TlbenchError, match="no schedule as a source"):
        vary().tasks["negated"].identity("source")


@pytest.mark.parametrize("name", list(suites()))
def test_every_installed_suite_is_whole(name: str) -> None:
    suite = suites()[name]
    assert suite.id == name
    assert SuiteSpec.model_validate(suite.model_dump(mode="json", exclude_defaults=True)).digest == suite.digest
    quick = suite.quick_form()
    assert len(quick.transfers) <= 3
    used = {task for t in suite.transfers.values() for task in (*t.sources, *t.targets)}
    assert used == set(suite.tasks)
