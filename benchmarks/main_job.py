"""The main job: a network that has learned to learn graphs, beside two baselines.

Trains `plastic`, `plastic-published` and `rnn` on graphs with labels of the train set, and scores them on
graphs with labels that no training graph could show (`PlasticGraph-disjoint-v0`). The figures and the report
of each run show the three side by side. Finished runs are not repeated, and stopped runs are resumed.

    python benchmarks/main_job.py
    python benchmarks/main_job.py --seed 1 --overwrite

It takes the options of benchmarks/run.py, for all three runs (`--agent` is set by the job).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from plastic_agents.runner.cli import Stopped, guarded
from plastic_agents.runner.config import RunConfig, parse
from plastic_agents.runner.report import present
from plastic_agents.runner.results import number
from plastic_agents.runner.run import run
from plastic_agents.runner.rundir import RunDirectory

AGENTS = ("plastic", "plastic-published", "rnn")

_Metrics = dict[str, Any]
_COLUMNS: dict[str, Callable[[_Metrics], str]] = {
    "agent": lambda m: str(m["agent"]),
    "test": lambda m: number(m["score"]),
    "train": lambda m: number(m["train_split/score"]),
    "labels permuted": lambda m: number(m["labels_permuted/score"]),
    "long walk": lambda m: number(m["long_walk/mean_rolling"]),
    "normalised": lambda m: number(m["normalized_score"], 3),
    "updates": lambda m: str(m["updates"]),
    "CPU s": lambda m: f"{m['train_seconds']:.1f}",
    "slow parameters": lambda m: str(m["params_slow"]),
}


def configs(arguments: Sequence[str]) -> list[RunConfig]:
    """The settings of the three runs, from options of benchmarks/run.py."""
    settings = [parse([*arguments, "--agent", agent], once=True) for agent in AGENTS]
    # Pictures wait until all have run; earlier work is taken up unless it is given up in so many words.
    return [replace(c, figures=False, report=False, resume=not c.overwrite) for c in settings]


def table(metrics: Sequence[_Metrics]) -> str:
    """Results as aligned text, one row per run."""
    rows = [list(_COLUMNS), *([show(m) for show in _COLUMNS.values()] for m in metrics)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    options = sys.argv[1:] if arguments is None else arguments
    return guarded("benchmarks/main_job.py", lambda: _run_all(configs(options)))


def _run_all(settings: Sequence[RunConfig]) -> int:
    directories: list[RunDirectory] = []
    try:
        for config in settings:
            directories.append(run(config))
    except Stopped as stopped:
        raise Stopped(f"{stopped} (or this job again: it takes up what was stopped)") from None
    print("\ndrawing figures and writing reports ...")
    for directory in directories:
        present(directory)
    metrics = [directory.read_metrics() for directory in directories]
    print(f"\n{settings[0].env}, seed {settings[0].seed}: {metrics[0]['score_name']} (fractions)\n")
    print(table(metrics))
    chance, oracle = (number(metrics[0][name]) for name in ("chance", "oracle"))
    print(f"\nchance {chance}, oracle {oracle} on the same test walks")
    print("\nLook at:")
    for directory in directories:
        print(f"  {directory.path / 'report.html'}")
    tool = Path(sys.executable).with_name("tensorboard")
    print(f"  {tool if tool.exists() else 'tensorboard'} --logdir {settings[0].logdir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
