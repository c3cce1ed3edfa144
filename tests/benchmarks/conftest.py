from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plastic_agents.runner import figures
from plastic_agents.runner.config import RunConfig, parse
from plastic_agents.runner.history import Curve
from plastic_agents.runner.results import Results
from plastic_agents.runner.task_reports import graph_walk, stimulus_coding

QUICK = [
    *("--env_kwargs", "{num_steps: 12}", "--eval_episodes", "6", "--device", "cpu"),
    *("--learner.updates", "6", "--learner.batch_size", "4", "--learner.evaluate_every", "3"),
    *("--learner.validation_episodes", "4", "--learner.log_every", "1", "--checkpoint_every", "2"),
    *("--no_progress_bar", "--no_figures", "--no_report"),
]


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few dots per inch: what a picture shows does not depend on them."""
    monkeypatch.setitem(figures._STYLE, "savefig.dpi", 30)


@pytest.fixture
def short_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure on short walks, so that a whole run takes a second or two."""
    monkeypatch.setattr(graph_walk, "LONG_WALK_STEPS", 60)
    monkeypatch.setattr(graph_walk, "_FEWEST_MOVES_PER_GRAPH", 30)


@pytest.fixture
def brief_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold the angles of the drifting stimulus for a short time, once each."""
    monkeypatch.setattr(stimulus_coding, "_HELD_TIME", 26.0)
    monkeypatch.setattr(stimulus_coding, "_EPISODES_PER_TILE", 1)
    monkeypatch.setattr(stimulus_coding, "_TRACE_TIME", 5.0)


@functools.cache
def _parsed(arguments: tuple[str, ...]) -> RunConfig:
    return parse([*QUICK, *arguments])


@pytest.fixture
def quick(tmp_path: Path, short_walks: None) -> Callable[..., RunConfig]:
    """Settings of a run that takes a second or two; further command-line arguments may be given."""

    def settings(*arguments: str, logdir: str = "runs") -> RunConfig:
        return replace(_parsed(arguments), logdir=tmp_path / logdir)

    return settings


@pytest.fixture
def results() -> Callable[..., Results]:
    """Results as a run leaves them, without running anything."""

    def made(agent: str, seed: int = 0, score: float = 0.9, num_nodes: int = 8) -> Results:
        rng = np.random.default_rng(seed)
        num_pairs = num_nodes * (num_nodes - 1) // 2
        labels = np.full((num_nodes, num_nodes), -1, dtype=np.int8)
        for i in range(num_nodes - 1):
            labels[i, i + 1] = labels[i + 1, i] = i % 4
        updates = np.arange(0, 50, 10)
        tags: Sequence[str] = ("train/loss", "train/score", "train/learning_rate", "train/grad_norm")
        curves = {tag: Curve(updates, rng.uniform(0.1, 1.0, 5)) for tag in (*tags, "eval/loss", "eval/score")}
        counts = rng.integers(0, 9, (num_pairs, 10))
        arrays = {
            "long_walk/hits": rng.random((300, 4)) < score,
            "boundaries/hits": rng.random((500, 6)) < score,
            "boundaries/starts": np.arange(5) * 100,
            "graphs/train": labels,
            "graphs/test": labels,
            "labels/train": counts,
            "labels/test": counts,
            "fast_weights/memory/before": np.zeros((4, 6), dtype=np.float32),
            "fast_weights/memory/after": rng.normal(size=(4, 6)).astype(np.float32),
        }
        metrics = {
            "env_id": "PlasticGraph-disjoint-v0",
            "agent": agent,
            "seed": seed,
            "score": score,
            "chance": 0.125,
            "oracle": 0.95,
            "normalized_score": (score - 0.125) / 0.825,
            "updates": 40,
            "env_steps": 1000,
            "train_seconds": 12.5,
            "params_slow": 100,
            "params_fast": 24,
            "score_name": "accuracy",
            "eval_episodes": 10,
            "undefined": None,
        }
        return Results(RunConfig(agent=agent, seed=seed), metrics, curves, arrays)

    return made


class InThisProcess:
    """Stands in for a pool of processes, each of which takes seconds to start."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, call: Callable[..., None], *arguments: object) -> Future[None]:
        done = Future[None]()
        try:
            call(*arguments)
        except Exception as error:
            done.set_exception(error)
        else:
            done.set_result(None)
        return done


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called, has `reproduce` make its runs in this process from then on."""
    return lambda: monkeypatch.setattr("plastic_agents.runner.workers.ProcessPoolExecutor", InThisProcess)
