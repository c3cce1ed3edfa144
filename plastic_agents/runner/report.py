"""The report of a run: one self-contained HTML page and the same as a PDF (by matplotlib, no LaTeX)."""

from __future__ import annotations

import base64
import functools
import logging
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

import plastic_envs
from plastic_agents.files import in_place_of, write_text
from plastic_agents.runner import figures as common
from plastic_agents.runner.cli import Mistake
from plastic_agents.runner.config import flat, to_dict
from plastic_agents.runner.events import write_images
from plastic_agents.runner.results import Results, best_first, number
from plastic_agents.runner.rundir import RunDirectory
from plastic_agents.runner.task_reports import experiment_of
from plastic_envs.naming import short_name

_LOG = logging.getLogger(__name__)

_TEMPLATE = Path(__file__).with_name("templates") / "report.html"
_COMPARED = {
    "score": "score",
    "normalised": "normalized_score",
    "updates": "updates",
    "CPU s": "train_seconds",
    "slow parameters": "params_slow",
    "fast parameters": "params_fast",
}
_CAPTIONS = {
    "training_curves": "Loss, score, learning rate and gradient norm over training.",
    "comparison": "Score on the test split of every agent that has been run on this task; dots are seeds.",
    "fast_weights": "The matrices of the agent's state before and after one episode of the test split.",
}
_PAGE = (8.27, 11.69)  # inches, A4 upright
_ROWS_PER_PAGE = 58


@dataclass(frozen=True)
class Drawing:
    """A figure with its name and what it shows."""

    name: str
    caption: str
    figure: Figure

    @functools.cached_property
    def png(self) -> bytes:
        """The figure as PNG, drawn once."""
        return common.png(self.figure)


def present(directory: RunDirectory, figures: bool = True, report: bool = True) -> list[Path]:
    """Draw a finished run's figures and write its report, from its files alone.

    Args:
        directory: The run; other finished runs on the same task are shown beside it.
        figures: Whether to write figures/*.png.
        report: Whether to write report.html and report.pdf.

    Returns:
        The files written.
    """
    if not (figures or report):
        return []
    run = Results.read(directory)
    others, num_unreadable = [], 0
    for sibling in directory.siblings():
        try:
            others.append(Results.read(sibling))
        except Mistake as error:  # another run's damage must not cost this run its report
            num_unreadable += 1
            _LOG.warning("left out of the comparison: %s", error)
    siblings = [other for other in others if run.comparable(other)]
    drawings = draw(run, siblings)
    paths = []
    if figures:
        directory.figures_folder.mkdir(exist_ok=True)
        for drawing in drawings:
            (directory.figures_folder / f"{drawing.name}.png").write_bytes(drawing.png)
        paths += [directory.figures_folder / f"{d.name}.png" for d in drawings]
        write_images(directory.path, {d.name: d.png for d in drawings}, int(run.metrics["updates"]))
    if report:
        page = html_report(run, siblings, drawings, len(others) - len(siblings), num_unreadable)
        write_text(directory.path / "report.html", page)
        pdf_report(directory.path / "report.pdf", run, siblings, drawings)
        paths += [directory.path / "report.html", directory.path / "report.pdf"]
    _LOG.info("wrote %s", ", ".join(path.name for path in paths))
    return paths


def draw(run: Results, siblings: Sequence[Results]) -> list[Drawing]:
    """All figures of a run: the task's own ones first, then those that every task has."""
    task = run.config.task()
    runs = [run, *siblings]
    drawings = [Drawing(*own) for own in experiment_of(task).figures(run, runs)]
    names = {"comparison": common.comparison(runs)}
    if run.curves:
        names["training_curves"] = common.training_curves(run)
    if common.fast_weight_names(run):
        names["fast_weights"] = common.fast_weights(run)
    general = [Drawing(name, _CAPTIONS[name], figure) for name, figure in names.items()]
    return general[:1] + drawings + general[1:]


def html_report(
    run: Results,
    siblings: Sequence[Results],
    drawings: Sequence[Drawing],
    num_left_out: int = 0,
    num_unreadable: int = 0,
) -> str:
    """The report as one page that needs no other file.

    Args:
        run: The run.
        siblings: Runs to compare it with.
        drawings: Figures, put into the page.
        num_left_out: Runs on the same environment that are not compared, since they changed the task's
            arguments.
        num_unreadable: Runs on the same environment whose files are missing, damaged or of another version.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    notes = ["Runs made later are shown once this report is made again (the same command with --resume)."]
    if num_left_out:
        notes.append(
            f"{num_left_out} further run(s) on {short_name(run.config.env)} had other arguments of the task."
        )
    if num_unreadable:
        notes.append(f"{num_unreadable} further run(s) could not be read.")
    return template.render(
        title=f"{run.label} on {short_name(run.config.env)}",
        lead=_lead(run),
        headline=_headline(run),
        comparison={"columns": list(_COMPARED), "rows": _comparison(run, siblings)},
        left_out=" ".join(notes),
        figures=[
            {"name": d.name, "caption": d.caption, "data": base64.b64encode(d.png).decode()} for d in drawings
        ],
        metrics=[(name, shown(value)) for name, value in run.metrics.items()],
        settings=[(name, shown(value)) for name, value in flat(to_dict(run.config)).items()],
        version=plastic_envs.__version__,
    )


def pdf_report(path: Path, run: Results, siblings: Sequence[Results], drawings: Sequence[Drawing]) -> None:
    """The same as a PDF: a first page with the results, the figures, then metrics and settings."""
    headers = ["agent", "seed", *_COMPARED]
    rows = [[r["agent"], str(r["seed"]), *r["cells"]] for r in _comparison(run, siblings)]
    title = f"{run.label} on {short_name(run.config.env)}"
    with (
        mpl.rc_context({"font.size": 9}),
        in_place_of(path) as partial,
        PdfPages(partial, metadata={"Title": title}) as pages,
    ):
        pages.savefig(_first_page(title, run, headers, rows))
        for drawing in drawings:
            pages.savefig(drawing.figure)
        for heading, items in (("Metrics", run.metrics), ("Settings", flat(to_dict(run.config)))):
            lines = [f"{name:<54}{shown(value):>24}" for name, value in items.items()]
            for start in range(0, len(lines), _ROWS_PER_PAGE):
                pages.savefig(_text_page(heading, lines[start : start + _ROWS_PER_PAGE]))


def shown(value: Any) -> str:
    """A metric or setting as readable text."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 1000 else f"{value + 0.0:.4g}"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    return "-" if value in ({}, []) else str(value)


def _lead(run: Results) -> str:
    m = run.metrics
    return (
        f"{m['score_name'].capitalize()} {number(m['score'], 3)}{_interval(run)} on {m['eval_episodes']} "
        f"fresh episodes of the test split (chance {number(m['chance'], 3)}, oracle "
        f"{number(m['oracle'], 3)}), after {m['updates']} updates and "
        f"{m['train_seconds']:.0f} CPU seconds of training."
    )


def _interval(run: Results) -> str:
    """The 95 % interval of the score over episodes, where there is one."""
    low, high = (run.metrics.get(name) for name in ("score_low", "score_high"))
    return "" if low is None or high is None else f" (95 % interval {number(low, 3)} to {number(high, 3)})"


def _headline(run: Results) -> list[tuple[str, str]]:
    m = run.metrics
    return [
        (f"{m['score_name']} (test)", number(m["score"])),
        ("chance", number(m["chance"])),
        ("oracle", number(m["oracle"])),
        ("normalised score", number(m["normalized_score"], 3)),
        ("CPU seconds of training", f"{m['train_seconds']:.1f}"),
    ]


def _comparison(run: Results, siblings: Sequence[Results]) -> list[dict[str, Any]]:
    ordered = sorted([run, *siblings], key=lambda r: best_first(r.value("score")))
    return [
        {
            "agent": short_name(r.config.agent),
            "seed": r.config.seed,
            "cells": [shown(r.metrics[name]) for name in _COMPARED.values()],
            "this": r is run,
        }
        for r in ordered
    ]


def _first_page(title: str, run: Results, headers: list[str], rows: list[list[str]]) -> Figure:
    page = Figure(figsize=_PAGE)
    page.text(0.08, 0.945, title, size=16, weight="bold", va="top", parse_math=False)
    lead = textwrap.fill(_lead(run), 95)
    page.text(0.08, 0.905, lead, size=10, color=common.GREY, va="top", linespacing=1.5, parse_math=False)
    axes = page.add_axes((0.08, 0.06, 0.84, 0.76))
    axes.axis("off")
    axes.set_title("Beside the other runs on this task", loc="left", size=11, weight="bold")
    table = axes.table(
        cellText=rows, colLabels=headers, loc="upper left", cellLoc="right", edges="horizontal"
    )
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.auto_set_column_width(list(range(len(headers))))
    table.scale(1.0, 1.5)
    return page


def _text_page(heading: str, lines: Sequence[str]) -> Figure:
    page = Figure(figsize=_PAGE)
    page.text(0.08, 0.945, heading, size=13, weight="bold", va="top")
    text = "\n".join(lines)  # not to be read as formulas: a "$" may be in any path
    page.text(0.08, 0.915, text, family="monospace", size=7.5, va="top", linespacing=1.45, parse_math=False)
    return page
