from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import plastic_agents
import plastic_envs
from benchmarks.reproduce import config_of, reproduce
from benchmarks.studies import STUDIES, learning_curves, study
from benchmarks.studies.cognitive import flex, integration, transfer
from benchmarks.studies.study import Planned, Study, merged
from plastic_agents.agent import NetworkAgent
from plastic_agents.learners.partial import trained_entries
from plastic_agents.runner.config import from_file
from plastic_agents.runner.history import Curve
from plastic_agents.runner.results import Results
from plastic_agents.runner.rundir import RunDirectory

_CONFIGS = Path("benchmarks/configs")


def quick(planned: Planned, updates: int = 4, hidden: int = 6) -> Planned:
    """The same group with next to no training."""
    few = {
        "updates": updates,
        "eval_episodes": 16,
        "agent_kwargs": {"hidden_size": hidden},
        "learner": {"evaluate_every": 2, "validation_episodes": 8, "batch_size": 4},
    }
    settings = merged(planned.settings, few)
    start = None if planned.start is None else quick(planned.start, updates, hidden)
    return replace(planned, settings=settings, seeds=tuple(planned.seeds)[:2], start=start)


def small(name: str) -> Study:
    """The study with next to no training and measuring."""
    whole = study(name)
    effort = {"transfer": 16, "integration": 4}.get(name)
    return replace(whole, plan=lambda: [quick(planned) for planned in whole.plan()], effort=effort)


def weights_of(root: Path, group: str) -> dict[str, torch.Tensor]:
    (file,) = root.glob(f"runs/{group}/*/*/seed-0/agent.pt")
    found = plastic_agents.load(file, device="cpu")
    assert isinstance(found, NetworkAgent)
    return found.network.state_dict()


def test_transfer_starts_where_pretraining_ended_and_changes_one_column(
    in_this_process: Callable[[], None], tmp_path: Path
) -> None:
    in_this_process()
    root = reproduce(small("transfer"), tmp_path, only="fdanti-*", reports=False, seeds=1)
    # What it starts from has been made with it, and nothing else.
    made = sorted(path.name for path in (root / "runs").iterdir())
    assert made == ["fdanti-leaky-rnn", "fdanti-mpn", "pretrain-fdanti-leaky-rnn", "pretrain-fdanti-mpn"]
    for agent, name in (("mpn", "embedding.weight"), ("leaky-rnn", "encode.weight")):
        before, after = weights_of(root, f"pretrain-fdanti-{agent}"), weights_of(root, f"fdanti-{agent}")
        for key, value in before.items():
            if key == name:
                assert torch.equal(value[:, :-1], after[key][:, :-1])
            else:
                assert torch.equal(value, after[key])
    table = (root / "table.md").read_text()
    for words in ("updates to 95 % on delayanti", "cosine of the rule inputs", "updates in pretraining"):
        assert words in table
    names = {path.stem for path in (root / "figures").glob("*.png")}
    assert names == {"transfer_curves", "rule_cosines"}


def test_a_run_that_cannot_start_is_told_apart_from_others(
    in_this_process: Callable[[], None], tmp_path: Path
) -> None:
    in_this_process()
    first, second = small("transfer").plan()[:2]
    settings = merged(first.settings, {"learner": {"trained": ["nothing"]}})
    broken = replace(first, group="broken", settings=settings)
    second = replace(second, group="fdgo-mpn", start=broken)
    good = replace(small("flex").plan()[1], group="fdgo-leaky-rnn")
    subject = replace(flex.STUDY, plan=lambda: [second, good])
    with pytest.raises(
        RuntimeError, match=r"2 of 3 runs failed \(broken, seed 0.*fdgo-mpn, seed 0.*no such file"
    ):
        reproduce(subject, tmp_path, reports=False, seeds=1)
    assert list(tmp_path.glob("flex/runs/fdgo-leaky-rnn/*/*/seed-0/metrics.json"))


def test_only_the_new_rule_input_is_trained() -> None:
    for planned in transfer.STUDY.plan():
        if planned.start is None:
            continue
        settings = planned.settings
        task = plastic_envs.make_task(settings["env"], **settings["env_kwargs"])
        made = plastic_agents.make(settings["agent"], task, device="cpu", **settings["agent_kwargs"])
        assert isinstance(made, NetworkAgent)
        ((_, mask),) = trained_entries(made.network, settings["learner"]["trained"]).items()
        assert mask is not None
        (columns,) = mask.all(0).nonzero().T.tolist()
        assert int(mask.sum()) == 100
        # Where this task's rule is shown, and nothing that pretraining has shown.
        rules = task.field("rule")
        shown = task.sample(np.random.default_rng(0), 4).observations[0, :, rules.slice]
        assert columns == [rules.start + int(np.flatnonzero(shown.any(0))[0])]
        start = planned.start.settings
        first = plastic_envs.make_task(start["env"], **start["env_kwargs"])
        assert first.fields == task.fields
        assert not first.sample(np.random.default_rng(0), 16).observations[..., columns].any()


@pytest.mark.parametrize("name", ["flex", pytest.param("integration", marks=pytest.mark.slow)])
def test_studies_give_tables_and_figures(
    in_this_process: Callable[[], None], tmp_path: Path, name: str
) -> None:
    in_this_process()
    root = reproduce(small(name), tmp_path, reports=False, seeds=1)
    rows = (root / "table.md").read_text()
    expected = {
        "flex": (["flex_context", "flex_pair"], "mean validation accuracy in the first 300 updates"),
        "integration": (["learning_curves", "states"], "participation ratio, hidden 2 | 3.6"),
    }[name]
    assert sorted(path.stem for path in (root / "figures").glob("*.png")) == expected[0]
    assert expected[1] in rows


@pytest.mark.parametrize("name", ["transfer", "flex", "integration"])
def test_plans_and_published_settings_can_be_read(name: str, tmp_path: Path) -> None:
    assert name in STUDIES
    files = sorted(_CONFIGS.glob(f"{name}-*.yaml"))
    assert files
    for file in files:
        config = from_file(file)
        task = plastic_envs.make_task(config.env, **config.env_kwargs)
        plastic_agents.make(config.agent, task, learner=config.learner, device="cpu", **config.agent_kwargs)


def test_a_start_is_a_checkpoint_of_the_same_seed(tmp_path: Path) -> None:
    planned = next(p for p in transfer.STUDY.plan() if p.start is not None)
    assert planned.start is not None
    for retrain in (False, True):
        config = config_of(planned, 3, tmp_path, retrain)
        first = RunDirectory.of(config_of(planned.start, 3, tmp_path, retrain))
        assert config.checkpoint == first.agent_file
        assert "seed-3" in str(config.checkpoint)


def runs_with(results: Callable[..., Results], curves: Sequence[Sequence[float]]) -> list[Results]:
    run = results("mpn")
    return [
        replace(run, curves={"eval/score": Curve(np.arange(len(c)) * 10, np.asarray(c, dtype=np.float64))})
        for c in curves
    ]


def test_updates_to_a_threshold_count_the_runs_that_reach_it(results: Callable[..., Results]) -> None:
    runs = runs_with(results, [[0.1, 0.6, 0.5], [0.1, 0.2, 0.9, 0.9], [0.1, 0.2]])
    row = learning_curves.reach_row("x", "", runs, 0.5)
    assert (row.ours, row.n) == (15.0, 2)
    np.testing.assert_array_equal(row.each, [10, 20, np.nan])
    none = learning_curves.reach_row("x", "", runs, 0.95)
    assert np.isnan(none.ours)
    assert none.n == 0
    updates, values = learning_curves.over_seeds(runs)
    assert updates.tolist() == [0, 10, 20, 30]
    np.testing.assert_array_equal(values[2], [0.1, 0.2, np.nan, np.nan])
    assert learning_curves.over_seeds(runs, "other")[1].shape == (0, 0)
    assert np.isnan(learning_curves.updates_to(runs[0], 0.5, "other"))


def test_variance_between_groups() -> None:
    states = np.array([[0.0, 0], [0, 2], [4, 0], [4, 2]], dtype=np.float32)
    assert integration.between(states, np.array([0, 0, 1, 1])) == pytest.approx(0.8)
    assert integration.between(states, np.arange(4)) == pytest.approx(1.0)


def test_policies_are_not_measured(results: Callable[..., Results]) -> None:
    oracle = plastic_agents.make("oracle", "EvidenceIntegration-v0")
    for subject in (transfer.STUDY, integration.STUDY):
        assert subject.measurement is not None
        with pytest.raises(TypeError, match="measures networks"):
            subject.measurement("fdgo-mpn", oracle, results("oracle"))
