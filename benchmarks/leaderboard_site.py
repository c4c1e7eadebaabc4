"""How long the leaderboard's site takes: build, rebuild after one more submission, first page in a browser.

A board of synthetic submissions on the suite classic is made first: records with made-up curves on the keys of real
plans, several methods and versions for each learner. The browser part needs selenium, chromium and chromedriver.

    python benchmarks/leaderboard_site.py [--submissions 200] [--board FOLDER] [--jobs N]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tlbench.execution.plan import RunNode, make_plan
from tlbench.execution.selection import MethodChoice, control_choice, learner_identity
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.keys import config_hash_of, key_of, knowledge_key_of
from tlbench.leaderboard.site import build_site
from tlbench.leaderboard.submission import (
    Counts,
    Metadata,
    Submission,
    configurations,
    in_order,
    records_digest,
)
from tlbench.protocol.discovery import find_suite, suites
from tlbench.protocol.records import Configured, ExpertUsed, Point, Record, Steps, Training
from tlbench.protocol.specs import SuiteSpec

FAMILIES = {
    "spam-vpg": ("SPAM", "vpg"),
    "finetune-vpg": ("Fine-tuning", "vpg"),
    "finetune-reset-head-vpg": ("Fine-tuning, fresh head", "vpg"),
    "spam-linear-vpg": ("Linear SPAM", "vpg"),
    "finetune-ppo": ("Fine-tuning", "ppo"),
    "spam-ppo": ("SPAM", "ppo"),
}
VARIANTS = (
    "wide codes",
    "narrow codes",
    "late",
    "early",
    "frozen body",
    "two stages",
    "noisy",
    "warm",
    "sparse",
    "deep",
)
PROVENANCE = {
    "python": "3.11.7",
    "packages": {"tlbench": "0.1.0", "torch": "2.9.1", "gymnasium": "1.2.0", "numpy": "2.3.0"},
    "device": "cpu",
    "system": "Linux",
    "machine": "x86_64",
    "wall_seconds": 1.5,
}


def points(suite: SuiteSpec, task: str, role: Any, skill: float, rng: np.random.Generator) -> tuple[Point, ...]:
    """A made-up learning curve: the higher the skill, the sooner it rises."""
    spec = suite.tasks[task]
    schedule = spec.schedule(role)
    fractions = schedule.target_fractions() if role == "target" else schedule.source_fractions()
    rise = 1 / (1 + np.exp(-12 * (np.array(fractions) - 0.75 + 0.6 * skill)))
    level = rise * rng.uniform(0.85, 1.0) + rng.normal(0, 0.03, len(fractions))
    returns = spec.random_return + np.clip(level, 0, 1)[:, None] * (spec.expert_return - spec.random_return)
    returns = returns + rng.normal(0, 0.02, (len(fractions), schedule.episodes)) * abs(spec.expert_return)
    if spec.max_return is not None:
        returns = np.minimum(returns, spec.max_return)
    lengths = (10,) * schedule.episodes
    counts = [int(np.ceil(round(f * schedule.budget, 6))) for f in fractions]
    return tuple(
        Point.model_construct(fraction=f, count=n, returns=tuple(row), lengths=lengths)
        for f, n, row in zip(fractions, counts, returns.tolist(), strict=True)
    )


CONTROL = (0.4, 7)
"""Skill and seed of the runs from scratch."""

TRAINING = Training(returns=(1.0,) * 100, episodes=(3,) * 100)


def submission(suite: SuiteSpec, base: str, identifier: str, version: str, name: str, skill: float) -> Submission:
    """A synthetic submission: a real method's plan, under another id and version."""
    plan = make_plan(suite, MethodChoice(base), tuple(suite.transfers), tuple(range(suite.seeds)))
    learner_id = MethodChoice(base).learner()
    common = {"suite": suite.id, "digest": suite.digest, "submittable": True, "training": TRAINING}
    common |= {"provenance": PROVENANCE, "gradient_steps": 500}
    experts = []
    for node in plan.experts:
        budget = suite.tasks[node.task].schedule("source").budget
        rng = np.random.default_rng([1, node.seed])
        expert = Record.model_construct(
            kind="expert", key=node.key, transfers=(), sources=(), target=node.task, method=None,
            learner=Configured(**learner_identity(learner_id, {})),
            config_hash=control_choice(node.learner).config_hash(), seed=node.seed, expert_seed=None,
            knowledge_key=None, control_key=None, experts=(),
            steps=Steps(unit="env_steps", source=budget, extraction=0, target=0),
            curve=points(suite, node.task, "source", 1.0, rng), diagnostics={"mean_return": 90.0}, **common,
        )  # fmt: skip
        experts.append(expert)

    def run(node: RunNode, method: dict[str, Any], skill: float, seed: int) -> Record:
        used = node.knowledge.experts if node.knowledge else ()
        schedule = suite.tasks[node.target].schedule("target")
        source = sum(suite.tasks[e.task].schedule("source").budget for e in used)
        return Record.model_construct(
            kind="run", key=node.key, transfers=node.transfers, sources=node.sources, target=node.target,
            method=Configured(**method),
            learner=Configured(**learner_identity(node.choice.learner(), dict(node.learner_settings))),
            config_hash=node.choice.config_hash(), seed=node.seed, expert_seed=node.expert_seed,
            knowledge_key=node.knowledge.key if node.knowledge else None, control_key=node.control_key,
            experts=tuple(ExpertUsed(key=e.key, task=e.task, mean_return=90.0) for e in used),
            steps=Steps(unit="env_steps", source=source, extraction=0, target=schedule.budget),
            curve=points(suite, node.target, "target", skill, np.random.default_rng([seed, node.seed])),
            diagnostics={"zero_ratio": 0.25 + 0.5 * skill}, **common,
        )  # fmt: skip

    controls = [run(node, node.choice.identity(), *CONTROL) for node in plan.controls]
    by_key = {r.key: r for r in [*controls, *experts]}
    runs = []
    for node in plan.runs:
        method = {**node.choice.identity(), "id": identifier, "version": version}
        if node.knowledge is None:
            record = run(node, method, *CONTROL)
        else:
            luck = 0.2 * float(np.random.default_rng([len(name), len(node.transfers[0])]).normal())
            record = run(node, method, skill + luck, zlib.crc32(identifier.encode()))
        record.__dict__["knowledge_key"] = knowledge_key_of(record, suite, by_key) or record.knowledge_key
        record.__dict__["key"] = key_of(record, suite)
        runs.append(record)
    if runs:
        plain = next(r for r in runs if config_hash_of(r, suite))
        for record in runs:
            record.__dict__["config_hash"] = config_hash_of(plain, suite)
    else:
        runs, controls = controls, []
    chosen = in_order([*runs, *controls, *experts])
    learner = runs[0].learner
    metadata = Metadata(
        suite=suite.id,
        digest=suite.digest,
        method=identifier,
        version=version,
        learner=learner.id if learner else None,
        name=name,
        contact="The makers of this benchmark",
        source_class="standard",
        seeds=suite.seeds,
        configurations=configurations(runs),
        records=Counts(method=len(runs), control=len(controls), expert=len(experts)),
        records_digest=records_digest(chosen),
    )
    return Submission(metadata, chosen)


def synthetic(suite: SuiteSpec, count: int) -> Iterator[Submission]:
    """That many submissions: learners from scratch first, then methods with versions, some of them replaced."""
    rng = np.random.default_rng(0)
    yield submission(suite, "scratch-vpg", "scratch-vpg", "1", "VPG from scratch", 0.4)
    yield submission(suite, "scratch-ppo", "scratch-ppo", "1", "PPO from scratch", 0.4)
    families = list(FAMILIES.items())
    for i in range(count - 2):
        base, (title, learner) = families[i % len(families)]
        variant = i // len(families)
        words = VARIANTS[variant % len(VARIANTS)]
        identifier = f"{base.removesuffix('-' + learner)}-{words.replace(' ', '-')}-{learner}"
        again = variant // len(VARIANTS)
        version = str(1 + again // 2)  # every second one replaces the one before it
        skill = float(rng.uniform(0.3, 0.9))
        name = f"{title}, {words}" + (f" ({again + 1})" if again else "")
        yield submission(suite, base, identifier, version, name, skill)


def make_board(folder: Path, suite: SuiteSpec, count: int) -> Submission:
    """Fill a board; gives the submission that is added last, by the benchmark."""
    board = Board(folder)
    have = len(board.entries())
    made = synthetic(suite, count + 1)
    for i in range(count):
        one = next(made)
        if i >= have:
            board.keep(one)
    return next(made)


def browse(page: Path) -> None:
    """Print how long the first page takes to be interactive in chromium, from the disk, and how large it is."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        print("browser: not measured, selenium is not installed")
        return
    driver = shutil.which("chromedriver")
    if driver is None:
        print("browser: not measured, chromedriver is not installed")
        return
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1000"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        browser.get("about:blank")
        times = []
        for _ in range(5):
            browser.get(page.as_uri())
            timing = browser.execute_script(
                "const n = performance.getEntriesByType('navigation')[0];"
                "const p = performance.getEntriesByName('first-contentful-paint')[0];"
                "return [p ? p.startTime : 0, n.domContentLoadedEventEnd, n.loadEventEnd]"
            )
            times.append(timing)
        paint, ready, loaded = np.median(times, axis=0)
        print(f"browser: first paint {paint:.0f} ms, interactive {ready:.0f} ms, loaded {loaded:.0f} ms (medians of 5)")
        start = time.perf_counter()
        browser.execute_script("document.querySelector('table.ranking thead th:nth-child(4) button').click()")
        print(f"browser: sorting a column {1000 * (time.perf_counter() - start):.0f} ms, the driver's way included")
    finally:
        browser.quit()


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=200)
    parser.add_argument("--board", type=Path, help="where the synthetic board is made, or taken from if it is there")
    parser.add_argument("--jobs", type=int, help="processes; default: one per processor")
    arguments = parser.parse_args()
    suite = find_suite("classic")
    with tempfile.TemporaryDirectory() as scratch:
        board = arguments.board or Path(scratch) / "board"
        start = time.perf_counter()
        last = make_board(board, suite, arguments.submissions)
        print(
            f"{arguments.submissions} synthetic submissions on {suite.id}: made in {time.perf_counter() - start:.0f} s"
        )
        copy = Path(scratch) / "copy"
        shutil.copytree(board, copy)
        out = Path(scratch) / "site"
        measure(copy, out, "full build", arguments.jobs)
        measure(copy, out, "nothing new", arguments.jobs)
        Board(copy).keep(last)
        measure(copy, out, "one more submission", arguments.jobs)
        page = out / suite.id / "index.html"
        loaded = [
            page,
            *((out / "assets") / n for n in ("site.css", "theme.js", "table.js", "plot.js", "compare.js", "copy.js")),
        ]
        print(
            f"first page: {sum(p.stat().st_size for p in loaded) / 1000:.0f} kB with styles and scripts, uncompressed"
        )
        size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
        old = sum(p.stat().st_size for p in (out / suite.id / "s").iterdir())
        print(f"whole site: {size / 1e6:.0f} MB, of it {old / 1e6:.1f} MB snapshots")
        browse(page)


def measure(board: Path, out: Path, what: str, jobs: int | None) -> None:
    """Build, and print how long it took."""
    start = time.perf_counter()
    built = build_site(Board(board), suites(), out, jobs=jobs)
    took = time.perf_counter() - start
    print(
        f"{what}: {took:.1f} s ({built.computed} computed, {built.cached} cached, {len(built.written)} files written)"
    )


if __name__ == "__main__":
    main()
