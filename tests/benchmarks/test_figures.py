from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import _pylab_helpers

import plastic_agents
import plastic_envs
from benchmarks import main_job
from plastic_agents.registry import AGENTS
from plastic_agents.runner import figures
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.report import Drawing, draw, html_report, pdf_report, shown
from plastic_agents.runner.results import Results
from plastic_agents.runner.run import run
from plastic_agents.runner.rundir import RunDirectory
from plastic_agents.runner.task_reports import graph_walk, graphs, plain

Made = Callable[..., Results]


@pytest.fixture
def three(results: Made) -> list[Results]:
    return [results("plastic"), results("rnn", score=0.4), results("rnn", seed=1, score=0.5)]


_DRAWN: list[Drawing] = []


@pytest.fixture
def drawings(three: list[Results]) -> list[Drawing]:
    """Figures of the first beside the others, drawn once."""
    if not _DRAWN:
        _DRAWN.extend(draw(three[0], three[1:]))
    return _DRAWN


def test_every_figure_is_labelled_and_leaves_no_trace(three: list[Results]) -> None:
    settings = dict(mpl.rcParams)
    drawings = draw(three[0], three[1:])
    assert {d.name for d in drawings} == {
        *("comparison", "long_walk", "graph_boundaries", "example_graphs", "label_histograms"),
        *("training_curves", "fast_weights"),
    }
    for drawing in drawings:
        assert drawing.caption.endswith(".")
        assert figures.png(drawing.figure).startswith(b"\x89PNG")
        for axes in drawing.figure.axes:
            if axes.axison and axes.get_label() != "<colorbar>":
                assert axes.get_xlabel() or axes.get_shared_x_axes().get_siblings(axes)
                assert axes.get_title(loc="left")
    assert dict(mpl.rcParams) == settings
    assert not _pylab_helpers.Gcf.figs


def test_rolling_figures_show_every_agent_once(three: list[Results]) -> None:
    for figure in (graph_walk.long_walk(three[0], three), graph_walk.over_boundaries(three)):
        (axes,) = figure.axes
        legend = axes.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["plastic", "rnn (mean of 2 seeds)"]


@pytest.mark.parametrize("num_nodes", [8, 30])
def test_label_histograms_never_have_an_axis_per_pair(results: Made, num_nodes: int) -> None:
    run_ = results("plastic", num_nodes=num_nodes)
    assert len(graphs.label_histograms(run_).axes) <= 3
    assert figures.png(graphs.example_graphs(run_))


def test_an_agent_keeps_its_colour() -> None:
    assert figures.colour_of("plastic") == figures.colour_of("plastic") != figures.colour_of("rnn")
    assert figures.colour_of("somebody else") not in map(figures.colour_of, AGENTS)


def test_label_counts() -> None:
    labels = np.full((2, 3, 3), -1)
    labels[0, 0, 1] = labels[0, 1, 0] = 2
    labels[1, 0, 1] = labels[1, 1, 0] = 2
    labels[1, 1, 2] = labels[1, 2, 1] = 0
    expected = [[0, 0, 2, 0], [0, 0, 0, 0], [1, 0, 0, 0]]  # pairs 01, 02, 12
    np.testing.assert_array_equal(graphs.label_counts(labels, 4), expected)


class _Page(HTMLParser):
    """Collects tags and where they point."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_html_report_needs_no_other_file(three: list[Results], drawings: list[Drawing]) -> None:
    text = html_report(three[0], three[1:], drawings, num_left_out=2)
    page = _Page()
    page.feed(text)
    assert page.tags.count("img") == len(drawings)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "2 further run(s)" in text
    assert re.search(r"normalized_score</td><td class=\"number\">0\.9394", text)
    assert "learner.learning_rate" in text


def test_html_report_escapes(results: Made) -> None:
    made = results("plastic")
    made = replace(made, config=replace(made.config, env_kwargs={"graph_generator": "<script>"}))
    assert "<script>" not in html_report(made, [], [])


def test_pdf_report(three: list[Results], drawings: list[Drawing], tmp_path: Path) -> None:
    file = tmp_path / "report.pdf"
    pdf_report(file, three[0], three[1:], drawings)
    content = file.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", content)) == 1 + 7 + 2
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (12345, "12 345"),
        (0.94821, "0.9482"),
        (1234.56, "1234.6"),
        ({}, "-"),
        ("a", "a"),
    ],
)
def test_values_as_a_person_reads_them(value: object, text: str) -> None:
    assert shown(value) == text


def test_only_runs_on_the_same_task_are_compared(results: Made) -> None:
    made = results("plastic")
    other = replace(made, config=replace(made.config, env_kwargs={"num_nodes": 9}))
    assert made.comparable(results("rnn"))
    assert not made.comparable(other)


def test_state_matrices(quick: Callable[..., RunConfig]) -> None:
    config = quick()
    task = plastic_envs.make_task(config.env, **config.env_kwargs)
    assert plain.measure(plastic_agents.make("random", task), config) == ({}, {})
    _, arrays = plain.measure(plastic_agents.make("plastic", task, device="cpu"), config)
    names = {name.split("/")[1] for name in arrays}
    assert names
    for name in names:
        before, after = (arrays[f"fast_weights/{name}/{when}"] for when in ("before", "after"))
        assert before.ndim == 2
        assert not np.array_equal(before, after)


def test_reports_are_drawn_again_with_later_runs(quick: Callable[..., RunConfig]) -> None:
    task = ("--env", "EvidenceIntegration-v0", "--env_kwargs", "{}")
    first = run(quick(*task, "--agent", "random", "--figures", "--report"))
    assert "leaky-rnn" not in (first.path / "report.html").read_text().split("<h2>Metrics")[0]
    run(quick(*task, "--agent", "leaky-rnn"))
    run(quick(*task, "--agent", "random", "--figures", "--report", "--resume"))
    assert "leaky-rnn" in (first.path / "report.html").read_text().split("<h2>Metrics")[0]
    assert (first.figures_folder / "comparison.png").exists()


MAIN_JOB = [
    *("--updates", "2", "--eval_episodes", "4", "--env_kwargs", "{num_steps: 8}", "--no_progress_bar"),
    *("--learner.validation_episodes", "2"),
]


def test_main_job(
    short_walks: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    presented: list[tuple[Path, int]] = []  # each run, and how many it could be compared with

    def note(directory: RunDirectory) -> None:
        presented.append((directory.path, len(list(tmp_path.glob("*/*/seed-0/metrics.json")))))

    monkeypatch.setattr(main_job, "present", note)
    arguments = [*MAIN_JOB, "--logdir", str(tmp_path)]
    assert main_job.main(arguments) == 0
    text = capsys.readouterr().out
    folders = [tmp_path / "PlasticGraph-disjoint-v0" / agent / "seed-0" for agent in main_job.AGENTS]
    assert all(str(folder / "report.html") in text for folder in folders)
    assert presented == [(folder, 3) for folder in folders]
    # What is finished is not done again.
    assert main_job.main(arguments) == 0
    assert all((folder / "run.log").read_text().count("trained:") == 1 for folder in folders)


@pytest.mark.slow
def test_main_job_leaves_reports_of_every_agent(short_walks: None, tmp_path: Path) -> None:
    assert main_job.main([*MAIN_JOB, "--logdir", str(tmp_path)]) == 0
    for agent in main_job.AGENTS:
        folder = tmp_path / "PlasticGraph-disjoint-v0" / agent / "seed-0"
        assert (folder / "report.pdf").exists()
        assert (folder / "figures" / "graph_boundaries.png").exists()
