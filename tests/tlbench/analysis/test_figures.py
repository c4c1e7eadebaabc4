import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest

from tlbench.analysis.bootstrap import Bootstrap
from tlbench.analysis.figures import NAMES, ReportData, alone, draw, looks, paper, save
from tlbench.analysis.figures.heat import level
from tlbench.analysis.figures.style import CONTROL_COLOURS, METHOD_COLOURS, THEME
from tlbench.analysis.summary import summarise

TASKS = {"home": ("self", True), "near": ("close", True), "away": ("far", True), "study": ("close", False)}
CONTROL = "scratch"
FROM_DIAGNOSTICS = {"score_by_setting", "within_lifetime", "abstract_spaces", "loss_curves"}
"""Figures of what only some runs say; tested on their own."""


def report(
    make_curves, methods=2, seeds=3, tasks=("home", "near", "study"), reference=True, drop=(), controls=None, flat=False
):
    """Synthetic curves of some methods and their control."""
    rng = np.random.default_rng(0)
    rising = np.linspace(0, 0 if flat else 100, 9)

    def curves(name, task, control):
        relation, scored = TASKS[task]
        own = control if name == CONTROL else rising * rng.uniform(0.5, 1.2) + rng.normal(0, 3, (seeds, 9))
        return make_curves(own, control, task=task, relation=relation, scored=scored)

    shared = {task: rising * 0.8 + rng.normal(0, 3, (seeds, 9)) for task in tasks}
    names = [f"method-{i}" for i in range(methods)] + [CONTROL] * reference
    found = {m: [curves(m, t, shared[t]) for t in tasks if (m, t) not in drop] for m in names}
    scored = [task for task, (_, counts) in TASKS.items() if counts]
    return ReportData(
        curves=found,
        summary=summarise(found, Bootstrap(300), scored),
        controls=controls or dict.fromkeys(names, CONTROL),
        tasks=tuple(tasks),
        notes=("method-0: something is missing",),
        band_repetitions=200,
    )


def test_every_figure_is_drawn_and_not_empty(make_curves):
    drawings = draw(report(make_curves))
    absent = {"improvement_matrix", *FROM_DIAGNOSTICS}
    assert [d.name for d in drawings] == [name for name in NAMES if name not in absent]
    for drawing in drawings:
        figure = paper(drawing)
        png, pdf = save(figure, "png"), save(figure, "pdf")
        assert png.startswith(b"\x89PNG")
        assert pdf.startswith(b"%PDF")
        assert len(png) > 10_000
        assert len(pdf) > 5_000
        assert drawing.caption.endswith(".")
        assert all(panel.alt for panel in drawing.panels)
    assert "matplotlib.pyplot" not in sys.modules


def test_equal_data_give_equal_bytes(make_curves):
    def render():
        drawings = draw(report(make_curves, seeds=3, tasks=("near",)))
        figures = [paper(drawing) for drawing in drawings if drawing.name in ("learning_curves", "gain_heat_map")]
        return [save(figure, kind) for figure in figures for kind in ("svg", "pdf", "png")]

    assert render() == render()


def test_a_users_own_settings_change_nothing(make_curves):
    from matplotlib import rc_context

    panel = draw(report(make_curves, tasks=("near",)))[0].panels[0]
    plain = save(alone(panel), "svg")
    with rc_context({"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9, "svg.hashsalt": "mine"}):
        assert save(alone(panel), "svg") == plain


@pytest.mark.parametrize(
    "options",
    [
        {"methods": 1, "reference": False},
        {"methods": 0, "tasks": ("near",)},
        {"methods": 1, "seeds": 1, "tasks": ("near",)},
        {"tasks": ("study",)},
        {"tasks": ("home",)},
        {"drop": [("method-0", "near"), ("method-1", "home")]},
        {"drop": list(itertools.product(["method-1"], ["home", "near"]))},
        {"flat": True, "tasks": ("near",)},
    ],
    ids=str,
)
def test_unusual_data_are_drawn(make_curves, options):
    for drawing in draw(report(make_curves, **options)):
        assert all(axes.get_children() for axes in paper(drawing).axes)


def test_without_a_scored_task_the_suites_figures_are_missing(make_curves):
    names = {d.name for d in draw(report(make_curves, tasks=("study",)))}
    assert names == {"gain_heat_map", "learning_curves", "returns", "time_to_threshold"}


def test_returns_are_drawn_against_units_of_budget(make_curves):
    def ticks(**changes):
        data = report(make_curves, tasks=("near",))
        data = replace(data, curves={m: [replace(c, **changes) for c in cs] for m, cs in data.curves.items()})
        drawing = next(d for d in draw(data) if d.name == "returns")
        axes = paper(drawing).axes[0]
        return [label.get_text() for label in axes.get_xticklabels()], axes.get_xlabel()

    assert ticks(budget=300_000) == (["0", "75k", "150k", "225k", "300k"], "steps on the target")
    assert ticks(budget=2_000_000, unit="samples") == (["0", "500k", "1M", "1.5M", "2M"], "samples of the target")
    assert ticks(budget=112_500)[0] == ["0", "28.12k", "56.25k", "84.38k", "112.5k"]
    assert ticks() == (["0", "25", "50", "75", "100"], "target budget used (%)")


def test_panels_say_their_own_units_where_these_differ(make_curves):
    data = report(make_curves, tasks=("home", "near", "away", "study"))
    units = {"home": {"unit": "samples", "measure": "score"}, "study": {"unit": "episodes"}}
    curves = {m: [replace(c, budget=100, **units.get(c.task, {})) for c in cs] for m, cs in data.curves.items()}
    drawing = next(d for d in draw(replace(data, curves=curves)) if d.name == "returns")
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in paper(drawing).axes[:4]]
    assert labels == [
        ("samples of the target", "score"),
        ("steps on the target", "return"),
        ("steps on the target", "return"),
        ("lifetimes on the target", "return"),
    ]


def test_many_methods_get_a_matrix_and_a_look_each(make_curves):
    data = report(make_curves, methods=8, tasks=("near",))
    assert [d.name for d in draw(data)] == [name for name in NAMES if name not in FROM_DIAGNOSTICS]
    for drawing in draw(data)[-2:]:
        assert len(save(paper(drawing), "png")) > 10_000
    found = looks(data)
    assert len({look.colour for look in found.values()}) == 9
    assert len({look.marker for look in found.values()}) == 9


def test_looks_never_repeat_and_do_not_depend_on_the_figure(make_curves):
    data = report(make_curves, methods=20, seeds=2, tasks=("near",))
    found = looks(data)
    assert len({(look.colour, str(look.dash), look.marker) for look in found.values()}) == 21
    assert found[CONTROL].label == "scratch (control)"
    assert set(METHOD_COLOURS) | set(CONTROL_COLOURS) <= set(THEME)
    assert len({name for name, _ in THEME.values()}) == len(THEME)


LIGHT = np.array([0.2126, 0.7152, 0.0722])
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], LIGHT, [0.0193, 0.1192, 0.9505]])
SEEN = {  # linear RGB as seen without long, without middle cones (Machado, Oliveira and Fernandes 2009), and by most
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "trichromacy": np.eye(3),
}


def linear(colour):
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    x, y, z = np.cbrt(TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.9505, 1, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_lines_stand_out_from_light_and_dark_pages():
    def contrast(colour, page):
        low, high = sorted(float(LIGHT @ linear(c)) for c in (colour, page))
        return (high + 0.05) / (low + 0.05)

    for light, dark in {**METHOD_COLOURS, **CONTROL_COLOURS}.items():
        assert contrast(light, "#ffffff") >= 3, light
        assert contrast(dark, "#181b20") >= 3, dark


@pytest.mark.parametrize("vision", SEEN)
@pytest.mark.parametrize("colours", [METHOD_COLOURS.keys(), METHOD_COLOURS.values()], ids=["light", "dark"])
def test_methods_have_colours_apart_for_every_reader(vision, colours):
    for one, other in itertools.combinations(colours, 2):
        seen = [lab(np.array(SEEN[vision]) @ linear(colour)) for colour in (one, other)]
        assert np.linalg.norm(seen[0] - seen[1]) > 12, (one, other)


def test_methods_with_the_same_control_share_its_line(make_curves):
    data = report(make_curves, reference=False)
    assert [arm for arm, _ in data.learning("near")] == ["scratch", "method-0", "method-1"]
    other = report(make_curves, reference=False, controls={"method-0": "a", "method-1": "b"})
    assert [arm for arm, _ in other.learning("near")] == ["a", "b", "method-0", "method-1"]
    assert [look.label for look in looks(other).values()] == ["method-0", "method-1", "a (control)", "b (control)"]


def test_a_control_among_the_methods_is_drawn_once(make_curves):
    data = report(make_curves, drop=[("scratch", "near")])
    assert [arm for arm, _ in data.learning("home")] == ["method-0", "method-1", "scratch"]
    assert [arm for arm, _ in data.learning("near")] == ["scratch", "method-0", "method-1"]
    assert data.arms == ("method-0", "method-1", "scratch")


def test_survival_marks_what_is_censored(make_curves):
    data = report(make_curves, methods=1, reference=False, tasks=("near",), flat=True)
    drawing = next(d for d in draw(data) if d.name == "time_to_threshold")
    assert "method-0 100 %" in drawing.panels[0].alt
    axes = alone(drawing.panels[0]).axes[0]
    marks = [line for line in axes.lines if line.get_marker() == "+"]
    assert [line.get_ydata()[0] for line in marks] == [1.0, 1.0]


def test_the_controls_profile_is_that_of_its_runs(make_curves):
    data, alone_data = report(make_curves, reference=False), report(make_curves)
    ours, theirs = data.profile(CONTROL), alone_data.profile(CONTROL)
    np.testing.assert_allclose(ours.estimate, theirs.estimate)
    np.testing.assert_allclose(data.efficiency(CONTROL).estimate, alone_data.efficiency(CONTROL).estimate)


@pytest.mark.parametrize(("value", "expected"), [(-3, 0), (-1, 0), (0, 5), (0.09, 5), (0.2, 6), (1, 10), (9, 10)])
def test_levels_of_the_heat_map(value, expected):
    assert level(value) == expected
