"""Reproduce a published system: make its runs (those not yet made), its table and its figures.

    python benchmarks/reproduce.py --list
    python benchmarks/reproduce.py graph-walk --out results --jobs 2
    python benchmarks/reproduce.py transitive-inference --retrain
    python benchmarks/reproduce.py sensorimotor --only 'full-*' --analyse-only
    python benchmarks/reproduce.py sensorimotor --run-type DSManifPert
    python benchmarks/reproduce.py docs/examples/memory_study.py:STUDY

Writes `<out>/<study>/table.json` (rows: quantity, published, ours, interval, n), the same as table.md,
figures/, and every run under `<out>/<study>/runs/<group>/`. Networks that come with the suite are used as
they are; with `--retrain` they are trained anew, under `<out>/<study>/retrained/<group>/`. A study that was
stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # `benchmarks` is not installed

import plastic_agents
from benchmarks.studies import STUDIES, study
from benchmarks.studies.study import Measured, Planned, Row, Study
from plastic_agents import pretrained
from plastic_agents.files import write_text
from plastic_agents.runner.cli import Mistake, guarded, one_line
from plastic_agents.runner.config import RunConfig, from_mapping
from plastic_agents.runner.figures import png
from plastic_agents.runner.history import read_arrays, write_arrays
from plastic_agents.runner.report import present
from plastic_agents.runner.results import Results
from plastic_agents.runner.run import run
from plastic_agents.runner.rundir import RunDirectory
from plastic_agents.runner.workers import carry_out_all

_EFFORT = ("updates", "env_steps", "train_seconds", "train_wall_seconds")
"""Metrics of a run that only the run that trained a network can tell."""

_Measure = Callable[[str, plastic_agents.Agent, Results], Measured]


def config_of(planned: Planned, seed: int, root: Path, retrain: bool = False) -> RunConfig:
    """The settings of one planned run, as the command line would make them.

    Args:
        planned: The group.
        seed: Seed of the run.
        root: The study's folder.
        retrain: Train also what could be taken from the shipped networks.

    Raises:
        ValueError: If the shipped network is not there.
    """
    settings: dict[str, Any] = dict(planned.settings)
    folder = root / ("retrained" if retrain else "runs") / planned.group
    network = None if retrain else planned.network(seed)
    if network is not None:
        try:
            pretrained.agent_file(network)
            settings |= {"checkpoint": network, "updates": 0}
        except ValueError as error:
            raise ValueError(f"{error} --retrain makes the networks of this study.") from error
    elif planned.start is not None:
        settings["checkpoint"] = RunDirectory.of(config_of(planned.start, seed, root, retrain)).agent_file
    config = from_mapping({**settings, "seed": seed, "logdir": folder})
    return replace(config, resume=True, figures=False, report=False, progress_bar=False)


def reproduce(
    subject: str | Study,
    out: Path,
    jobs: int = 1,
    only: str = "*",
    reports: bool = True,
    retrain: bool = False,
    analyse_only: bool = False,
    seeds: int | None = None,
    run_type: str | None = None,
) -> Path:
    """Carry out a study.

    Args:
        subject: The study, or its name in `STUDIES`.
        out: Where it is written, in a folder of its name.
        jobs: Runs made at the same time, one process each.
        only: Make and show only groups whose name matches this pattern (`*` and `?`), and those whose
            networks they start from.
        reports: Draw figures and a report for every run too.
        retrain: Train what could be taken from the shipped networks; otherwise planned networks that are not
            shipped are left out (but for a plan that has no other).
        analyse_only: Train nothing: measure and show the runs that are finished, and leave out the others.
        seeds: Make and show only so many runs of each group; None for all that are planned.
        run_type: A name in the study's `run_types`: of the groups that match `only`, those that it stands
            for. None: all of them.

    Returns:
        The study's folder.

    Raises:
        ValueError: If there is no such study, run type or group, no finished run to analyse, or a shipped
            network is missing.
        RuntimeError: If runs failed, once all others are done.
        Stopped: On Ctrl-C, SIGTERM or SIGHUP.
    """
    if isinstance(subject, str):
        subject = study(subject)
    name, root, measure = subject.name, out / subject.name, subject.measurement
    plan = [replace(p, seeds=p.seeds[:seeds]) for p in subject.select(only, run_type)]
    plan = _with_starts(plan if retrain else _at_hand(plan))
    configs = {(p.group, seed): config_of(p, seed, root, retrain) for p in plan for seed in p.seeds}
    if analyse_only:
        configs = {key: c for key, c in configs.items() if RunDirectory.of(c).finished}
        if not configs:
            raise ValueError(f"no finished run of {name!r} in {root}; leave out --analyse-only to make them.")
    missing = {
        key: config
        for key, config in configs.items()
        if not (directory := RunDirectory.of(config)).finished
        or (measure and not _measured_file(directory).exists())
    }
    # A run that fails stops only those that start from it; what others found is on disk when this is raised.
    failed: dict[str, BaseException] = {}
    stages = {p.group: _stage(p) for p in plan}
    for stage in sorted({stages[group] for group, _ in missing}):
        now = {key: config for key, config in missing.items() if stages[key[0]] == stage}
        failed |= _make(name, now, jobs, measure)
    if failed:
        reasons = "; ".join(f"{label}: {error}" for label, error in failed.items())
        raise RuntimeError(f"{len(failed)} of {len(missing)} runs failed ({reasons}).") from next(
            iter(failed.values())
        )
    results: dict[str, list[Results]] = {}
    for planned in plan:
        for seed in (s for s in planned.seeds if (planned.group, s) in configs):
            directory = RunDirectory.of(configs[planned.group, seed])
            network = None if retrain else planned.network(seed)
            results.setdefault(planned.group, []).append(_result(directory, network))
    root.mkdir(parents=True, exist_ok=True)
    rows = subject.table(results)
    write_text(
        root / "table.json", json.dumps([_plain(row) for row in rows], indent=2, allow_nan=False) + "\n"
    )
    write_text(root / "table.md", markdown(rows))
    (root / "figures").mkdir(exist_ok=True)
    for figure_name, caption, figure in subject.figures(results):
        (root / "figures" / f"{figure_name}.png").write_bytes(png(figure))
        write_text(root / "figures" / f"{figure_name}.txt", caption + "\n")
    if reports:
        for config in configs.values():
            directory = RunDirectory.of(config)
            if not all((directory.path / f"report.{kind}").exists() for kind in ("html", "pdf")):
                present(directory)
    return root


def _at_hand(plan: list[Planned]) -> list[Planned]:
    """The plan without the networks that could be shipped and are not, as long as some are.

    Training them may take hours, which nobody has asked for.
    """
    names = set(pretrained.names())
    there = {p.group: tuple(s for s in p.seeds if p.shipped is None or p.network(s) in names) for p in plan}
    if not any(there[p.group] for p in plan if p.shipped is not None):
        return plan
    left_out = [f"{p.group}, seed {s}" for p in plan for s in p.seeds if s not in there[p.group]]
    if left_out:
        print(f"Not shipped and left out: {'; '.join(left_out)}. --retrain trains them.", file=sys.stderr)
    return [replace(p, seeds=there[p.group]) for p in plan if there[p.group]]


def _with_starts(plan: Iterable[Planned]) -> list[Planned]:
    """The groups and all that they start from, each before those that start from it."""
    groups: dict[str, Planned] = {}
    for planned in plan:
        group = planned
        chain = [group]
        while group.start is not None:
            group = replace(group.start, seeds=planned.seeds)
            chain.insert(0, group)
        for each in chain:
            seeds = dict.fromkeys([*groups.get(each.group, each).seeds, *each.seeds])
            groups[each.group] = replace(each, seeds=tuple(seeds))
    return list(groups.values())


def _stage(planned: Planned) -> int:
    """Number of runs in the chain before this one."""
    return 0 if planned.start is None else 1 + _stage(planned.start)


def _make(
    name: str, configs: Mapping[tuple[str, int], RunConfig], jobs: int, measure: _Measure | None
) -> dict[str, BaseException]:
    """Make runs that do not depend on each other; gives the errors of those that failed."""
    work = {f"{group}, seed {seed}": (group, config, measure) for (group, seed), config in configs.items()}
    return carry_out_all(_carry_out, work, jobs, name)


def _carry_out(group: str, config: RunConfig, measure: _Measure | None) -> None:
    """Make a run, or the rest of one, and measure its agent."""
    directory = run(config)
    if measure is None or _measured_file(directory).exists():
        return
    torch.set_num_threads(config.threads)
    agent = plastic_agents.load(directory.agent_file, device=config.device)
    metrics, arrays = measure(group, agent, Results.read(directory))
    figures = {f"{_METRIC}{name}": np.array(value, dtype=np.float64) for name, value in metrics.items()}
    write_arrays(_measured_file(directory), {}, {**figures, **arrays})


_METRIC = "metric/"


def _measured_file(directory: RunDirectory) -> Path:
    """File of a study's measurements of a run's agent; it goes with the run if that is made anew."""
    return directory.path / "measured.npz"


def _result(directory: RunDirectory, network: str | None) -> Results:
    """A finished run, what was measured of its agent, and what training its shipped network took."""
    results = Results.read(directory)
    metrics, arrays = dict(results.metrics), dict(results.arrays)
    if network is not None:
        record = pretrained.record(network)
        metrics |= {name: record[name] for name in _EFFORT if name in record}
    if _measured_file(directory).exists():
        for name, array in read_arrays(_measured_file(directory))[1].items():
            if name.startswith(_METRIC):
                metrics[name.removeprefix(_METRIC)] = float(array)
            else:
                arrays[name] = array
    return replace(results, metrics=metrics, arrays=arrays)


def _plain(row: Row) -> dict[str, object]:
    """A row in JSON's types; what could not be measured is null."""

    def defined(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        **asdict(row),
        "ours": defined(row.ours),
        "interval": None if row.interval is None else [defined(v) for v in row.interval],
        "each": [defined(v) for v in row.each],
    }


def markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown."""
    lines = ["| quantity | published | ours | 95 % interval | n |", "|---|---|---|---|---|"]
    for row in rows:
        spread = "" if row.interval is None else f"{row.interval[0]:.4f} to {row.interval[1]:.4f}"
        quantity, published = (text.replace("|", "\\|") for text in (row.quantity, row.published))
        lines.append(f"| {quantity} | {published} | {row.ours:.4f} | {spread} | {row.n} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/reproduce.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "study", nargs="?", help="a published system (see --list), or your own study: file.py:NAME"
    )
    parser.add_argument("--list", action="store_true", help="show what there is and stop")
    parser.add_argument("--out", type=Path, default=Path("results"), help="where to write (default: results)")
    parser.add_argument(
        "--jobs", type=int, default=1, help="runs at the same time, one process each (default: 1)"
    )
    parser.add_argument(
        "--only", default="*", metavar="PATTERN", help="only groups whose name matches, such as 'disjoint-*'"
    )
    parser.add_argument(
        "--run-type", metavar="NAME", help="only the groups that the study calls so, such as 'Full'"
    )
    parser.add_argument(
        "--retrain", action="store_true", help="train anew the networks that come with the suite"
    )
    parser.add_argument(
        "--analyse-only", action="store_true", help="train nothing; take the runs that are finished"
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="only the first N runs of each group (default: all planned)"
    )
    parser.add_argument("--no-reports", action="store_true", help="leave out the reports of the single runs")
    options = parser.parse_args(arguments)
    if options.list:
        for name in STUDIES:
            print(f"{name}: {study(name).description}")
        return 0
    if options.study is None:
        parser.error(f"which study? One of {', '.join(STUDIES)}.")
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs}: expected at least 1.")
    if options.seeds is not None and options.seeds < 1:
        parser.error(f"--seeds {options.seeds}: expected at least 1.")
    return guarded("benchmarks/reproduce.py", lambda: _reproduce_and_tell(options))


def _reproduce_and_tell(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    try:
        root = reproduce(
            options.study,
            options.out.expanduser(),
            options.jobs,
            options.only,
            not options.no_reports,
            options.retrain,
            options.analyse_only,
            options.seeds,
            options.run_type,
        )
    except (TypeError, ValueError) as error:
        raise Mistake(one_line(error)) from error
    except RuntimeError as error:
        print(f"benchmarks/reproduce.py: {error}", file=sys.stderr)
        return 1
    print((root / "table.md").read_text())
    print(f"{root} holds table.json, table.md, figures/ and runs/ ({time.perf_counter() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
