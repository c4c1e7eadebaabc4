import csv
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from tlbench.analysis.base_models import HEADER, BaseModelResult
from tlbench.analysis.bootstrap import Bootstrap, Interval
from tlbench.analysis.embeddings import Embedding
from tlbench.analysis.figures import NAMES, ReportData, draw
from tlbench.analysis.loss_courses import BASE_MODEL, LossCourse
from tlbench.analysis.page import definitions, write_report
from tlbench.analysis.page.build import all_notes, build_page, minus, sentence, sort_key
from tlbench.analysis.page.svg import embed
from tlbench.analysis.predictions import PredictionResult
from tlbench.analysis.settings import COLUMNS, SettingResult
from tlbench.analysis.summary import summarise
from tlbench.analysis.tables import cells
from tlbench.protocol.errors import TlbenchError

VOID = {"meta", "input", "br", "link", "hr", "img"}
KINDS = {"self": ("self", True), "inversion": ("visual-inversion", True), "far": ("far", False)}


class Page(HTMLParser):
    """Checks that tags are balanced, and collects ids, references and texts."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.links, self.tags, self.texts = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        assert len(found) == len(attrs), (tag, attrs)
        self.tags.append((tag, found))
        self.ids += [found["id"]] if "id" in found else []
        self.links += [value for name, value in attrs if name.split(":")[-1] in ("href", "src", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def make_data(make_curves):
    def make(methods=("spam-vpg", "<b>&\"evil'"), seeds=3, tasks=tuple(KINDS), **changes):
        rng = np.random.default_rng(0)
        curves = {
            method: [
                make_curves(
                    np.linspace(0, 100, 6) + rng.normal(0, 4, (seeds, 6)),
                    np.linspace(0, 80, 6) + rng.normal(0, 4, (seeds, 6)),
                    task=task,
                    relation=KINDS[task][0],
                    scored=KINDS[task][1],
                    **changes,
                )
                for task in tasks
            ]
            for method in methods
        }
        summary = summarise(curves, Bootstrap(300), ["self", "inversion"])
        notes = ("spam-vpg: self has 2 of 3 seeds",)
        return ReportData(curves, summary, dict.fromkeys(methods, "scratch"), tuple(tasks), notes, 200)

    return make


def with_diagnostics(data):
    """The data with everything that only some records hold."""
    method, interval = data.methods[0], Interval(61.0, 58.0, 64.0)
    square = np.array([[1.0, 1.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])
    embedding = Embedding(method, "self", 0, 7, 0.8, True, False, False, square, square / 2, square / 2)
    updates = np.array([10.0, 20.0, 30.0])
    setting = SettingResult("spam", "self", "self", True, 0.5, 3, interval, interval, interval)
    return replace(
        data,
        embeddings=(embedding,),
        losses=(LossCourse(method, "self", 0, 7, updates, {"q": 1 / updates}),),
        base_model_losses=tuple(LossCourse(BASE_MODEL, "source", s, None, updates, {"q": s / updates}) for s in (1, 2)),
        base_models=(BaseModelResult(method, "self", 7, 3, 2, Interval(0.67, 0.21, 0.94), 1, 1, 0.4, interval),),
        predictions=(
            PredictionResult(method, "self", 6, interval, Interval(1.5, 1.0, 2.0), Interval(59.5, 56.0, 63.0)),
        ),
        by="learner.learning_rate",
        settings=(setting, replace(setting, value=5.0)),
    )


def page_of(suite, data):
    return build_page(suite, data, draw(data), [], "1.2.3")


def test_the_page_holds_every_method_task_note_and_number(tiny, make_data):
    data = make_data()
    text = page_of(tiny, data)
    page = Page(text)
    words = " ".join(" ".join(page.texts).split())
    for expected in (*data.methods, *data.tasks, *all_notes(tiny, data), tiny.id, tiny.digest, "1.2.3"):
        assert expected in words, expected
    for table in ("suite", "tasks"):
        for row in cells(data.summary, table)[1]:
            for cell in row:
                assert minus(cell) in words, cell
    assert "<b>&" not in text
    assert "300 resamples" in words
    assert "200, pointwise" in words


def test_the_page_references_nothing_outside(tiny, make_data):
    text = page_of(tiny, make_data())
    page = Page(text)
    assert "://" not in text
    assert "@import" not in text
    assert not [tag for tag, _ in page.tags if tag in ("link", "img", "iframe", "object", "base")]
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link.startswith("#") or re.fullmatch(r"(figures|tables)/\w+\.(png|pdf|csv|tex)", link), link
        assert not link.startswith("#") or link[1:] in page.ids, link
    for reference in re.findall(r"url\(([^)]*)\)", text):
        assert reference.startswith("#")
        assert reference[1:] in page.ids


def test_the_page_can_be_used_without_seeing_it(tiny, make_data):
    page = Page(page_of(tiny, make_data()))
    count = [tag for tag, _ in page.tags].count
    assert count("table") == count("caption") == 4
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")
    charts = [attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("aria-hidden") != "true"]
    assert len(charts) > 8
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in charts)
    assert count("h1") == count("main") == count("title") == 1
    assert ("html", {"lang": "en"}) in page.tags
    assert all(attrs["tabindex"] == "0" for _, attrs in page.tags if attrs.get("role") == "region")
    labelled = [attrs["aria-labelledby"] for _, attrs in page.tags if "aria-labelledby" in attrs]
    assert set(labelled) <= set(page.ids)


def test_colours_are_variables_so_that_a_dark_page_has_its_own(tiny, make_data):
    text = page_of(tiny, make_data())
    body = text[text.index("<body>") : text.index("<script>")]
    assert not re.findall(r"(?:fill|stroke): ?#[0-9a-f]{3,6}", body)
    used = set(re.findall(r"var\(--([a-z0-9]+)\)", text))
    assert used <= set(re.findall(r"--([a-z0-9]+):", text))


def test_the_page_is_the_same_each_time(tiny, make_data):
    pages = [page_of(tiny, make_data(tasks=("inversion",))) for _ in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    "options",
    [{"tasks": ("far",)}, {"tasks": ("self",)}, {"methods": ("a",), "seeds": 1}],
    ids=str,
)
def test_unusual_data_make_a_page(tiny, make_data, options):
    text = page_of(tiny, make_data(**options))
    Page(text)
    assert ("No scored task was run" in text) == (options.get("tasks") == ("far",))


def test_what_only_some_records_hold_is_shown(tiny, make_data):
    data = with_diagnostics(make_data(tasks=("self",)))
    text = page_of(tiny, data)
    page = Page(text)
    words = " ".join(" ".join(page.texts).split())
    for expected in ("Transfers by base model", "0.67 [0.21, 0.94]", "Results by learner.learning_rate", "Losses"):
        assert expected in words, expected
    drawn = {drawing.name for drawing in draw(data)}
    assert {"score_by_setting", "abstract_spaces", "loss_curves"} < drawn
    assert {f"h-{name}" for name in drawn} <= set(page.ids)
    assert "+59.5 [56.0, 63.0]" in words
    without = page_of(tiny, make_data(tasks=("self",)))
    assert not any(f"h-{name}" in without for name in ("base_models", "predictions"))


def test_every_figure_has_its_place_on_the_page():
    template = files("tlbench.analysis.page").joinpath("templates", "report.html.j2").read_text(encoding="utf-8")
    assert sorted(re.findall(r"figure\('(\w+)'\)", template)) == sorted(NAMES)


def test_every_column_and_note_is_defined(make_data):
    summary = make_data().summary
    assert list(definitions.SUITE) == cells(summary, "suite")[0]
    assert list(definitions.TASKS) == cells(summary, "tasks")[0]
    assert tuple(definitions.BASE_MODELS) == HEADER
    assert tuple(definitions.SETTINGS)[2:] == COLUMNS


def test_notes_are_said_once(tiny, make_data):
    data = make_data(seeds=1, diverged=np.array([True]))
    notes = all_notes(tiny, data)
    both = ", ".join(data.methods)
    assert f"{both}: one seed: no intervals: all tasks (an interval needs two seeds)" in notes
    assert len(notes) == len(set(notes))
    assert all_notes(tiny.quick_form(), data)[0] == definitions.QUICK
    partial = make_data(tasks=("self",))
    assert any("scored tasks missing: inversion (means" in note for note in all_notes(tiny, partial))


def test_a_methods_result_in_a_line(tiny, make_data):
    text = sentence(tiny, make_data(), "spam-vpg")
    assert re.fullmatch(
        r"spam-vpg on tiny-v1: score [\d.]+ \[.*\], transfer gain \+[\d.]+ \[.*\], negative transfer.* \(3 seeds\)",
        text,
    )
    assert sentence(tiny, make_data(tasks=("far",)), "spam-vpg").endswith("no scored task was run")
    assert "1 of 2 scored tasks" in sentence(tiny, make_data(tasks=("self",)), "spam-vpg")


@pytest.mark.parametrize(
    ("text", "key"),
    [("61.2 [58.0, 64.1]", "61.2"), ("-3 [-4, 1]", "-3.0"), ("80 %", "80.0"), ("none", "none"), ("inf", "Infinity")],
)
def test_columns_sort_by_their_numbers(text, key):
    assert sort_key(text) == key


def test_only_numbers_get_a_minus_sign():
    assert minus("-1.0 [-2.0, 3.0]") == "\N{MINUS SIGN}1.0 [\N{MINUS SIGN}2.0, 3.0]"
    assert minus("a-1 x-inf cartpole-to-2") == "a-1 x-inf cartpole-to-2"


def test_what_is_no_svg_is_refused():
    with pytest.raises(ValueError, match="not an SVG"):
        embed("<html></html>", "a", "b")


class TestWriting:
    def test_all_files_are_there_and_the_links_hold(self, tiny, make_data, tmp_path):
        data = make_data(tasks=("self", "inversion"))
        written = write_report(tmp_path / "report", tiny, data, [], "1.2.3")
        assert all(path.stat().st_size > 100 for path in written)
        root = tmp_path / "report"
        assert {p.suffix for p in (root / "figures").iterdir()} == {".png", ".pdf"}
        assert len(list((root / "figures").iterdir())) == 16
        assert sorted(p.name for p in (root / "tables").iterdir()) == [
            f"{table}.{kind}" for table in ("comparisons", "suite", "tasks") for kind in ("csv", "tex")
        ]
        for link in Page((root / "index.html").read_text(encoding="utf-8")).links:
            assert link.startswith("#") or (root / link).exists(), link
        with (root / "tables" / "comparisons.csv").open() as file:
            (row,) = csv.DictReader(file)
        assert (row["x"], row["tasks"]) == ("spam-vpg", "2")
        assert 0 <= float(row["probability_of_improvement_low"]) <= float(row["probability_of_improvement"]) <= 1

    def test_tables_of_base_models_and_settings_are_files_too(self, tiny, make_data, tmp_path):
        write_report(tmp_path, tiny, with_diagnostics(make_data(tasks=("self",))), [], "1.2.3")
        for link in Page((tmp_path / "index.html").read_text(encoding="utf-8")).links:
            assert link.startswith("#") or (tmp_path / link).exists(), link
        with (tmp_path / "tables" / "base_models.csv").open() as file:
            (row,) = csv.DictReader(file)
        assert (row["base_model"], row["aligned"], row["share_aligned_high"]) == ("7", "2", "0.94")
        with (tmp_path / "tables" / "predictions.csv").open() as file:
            (row,) = csv.DictReader(file)
        assert (row["runs"], row["found"], row["difference_low"]) == ("6", "1.5", "56.0")
        with (tmp_path / "tables" / "settings.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [(row["value"], row["score_low"]) for row in rows] == [("0.5", "58.0"), ("5.0", "58.0")]
        write_report(tmp_path, tiny, make_data(tasks=("self",)), [], "1.2.3")
        assert not (tmp_path / "tables" / "settings.csv").exists()
        assert not (tmp_path / "figures" / "loss_curves.png").exists()

    def test_what_an_earlier_report_left_is_cleared(self, tiny, make_data, tmp_path):
        write_report(tmp_path, tiny, make_data(tasks=("far",)), [], "1")
        mine = tmp_path / "figures" / "mine.png"
        for path in (mine, tmp_path / "figures" / "sample_efficiency.png", tmp_path / "tables" / "comparisons.csv"):
            path.write_text("x")
        write_report(tmp_path, tiny, make_data(tasks=("far",), methods=("a",)), [], "1")
        assert mine.exists()
        assert not (tmp_path / "figures" / "sample_efficiency.png").exists()
        assert not (tmp_path / "tables" / "comparisons.csv").exists()

    def test_a_folder_that_cannot_be_made_is_one_line(self, tiny, make_data, tmp_path):
        (tmp_path / "file").write_text("")
        for folder in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(TlbenchError, match=r"can't write the report to .*; choose another --out") as error:
                write_report(Path(folder), tiny, make_data(), [], "1")
            assert "\n" not in str(error.value)
