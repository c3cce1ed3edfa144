from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import reproduce as reproducing
from benchmarks.studies.sensorimotor.learning_to_learn import IN_CONTEXT_TASK, STUDY
from benchmarks.studies.sensorimotor.measures import Stored
from benchmarks.studies.study import Planned, merged
from plastic_agents.runner.results import Results
from plastic_agents.runner.run import run
from plastic_agents.runner.rundir import RunDirectory

_QUICK = {
    "agent": "leaky-softplus",
    "env": "SensorimotorAssociation-v0",
    "env_kwargs": {"dt_ms": 100},
    "agent_kwargs": {"num_units": 16},
    "method": "problem-sequence",
    "device": "cpu",
    "eval_episodes": 4,
    "learner": {"criterion": 0.4, "window": 4, "learning_rate": 0.003, "max_trials": 300, "num_before": 3},
}
_PLAN = [
    Planned("full-20ms", {**_QUICK, "updates": 102}),
    *(
        Planned(group, merged(_QUICK, {"updates": 5, "learner": {"perturbation": kind}}))
        for group, kind in (("control-20ms", "control"), ("ss-20ms", "stimulus"), ("ds-20ms", "decision"))
    ),
    Planned("full-1ms", {**_QUICK, "updates": 102}, seeds=(7,)),  # never run here
    *(
        Planned(
            f"block-{agent}",
            {
                "agent": agent,
                "env": "SensorimotorAssociation-block-v0",
                "env_kwargs": IN_CONTEXT_TASK,
                "device": "cpu",
                "updates": 2,
                "eval_episodes": 4,
            },
        )
        for agent in ("gru", "plastic")
    ),
]


_STUDY = replace(STUDY, plan=lambda: _PLAN)


@pytest.mark.slow
def test_finished_runs_are_analysed_and_nothing_is_trained(tmp_path):
    with pytest.raises(ValueError, match=r"no finished run.*leave out --analyse-only"):
        reproducing.reproduce(_STUDY, tmp_path, analyse_only=True)
    for planned in _PLAN:
        if planned.group == "full-1ms":
            continue
        run(reproducing.config_of(planned, 0, tmp_path / "sensorimotor"))
    root = reproducing.reproduce(_STUDY, tmp_path, reports=False, analyse_only=True)
    assert not (root / "runs" / "full-1ms").exists()
    rows = {row["quantity"]: row for row in json.loads((root / "table.json").read_text())}
    assert rows["20 ms: largest |V_W perp + V_S perp| (0 by construction)"]["ours"] < 1e-12
    assert rows["20 ms: |dW_rec|, block 2"]["ours"] > 0
    assert rows["20 ms: |dW_rec|, block 20"]["ours"] is None
    assert rows["decision perturbation: trials / control's"]["n"] == 1
    names = {file.stem for file in (root / "figures").glob("*.png")}
    assert {"full-20ms-learning", "full-20ms-currents", "full-20ms-fields", "perturbation"} <= names
    assert "in_context" in names
    assert rows["in context, gru: share right, trial 12"]["n"] == 1


def test_run_types_name_groups(tmp_path, capsys):
    for only, run_type, groups in (
        ("*", "Full", ["full-20ms", "full-1ms"]),
        ("*-20ms", "Full", ["full-20ms"]),
        ("*", "DSManifPert", ["ds-20ms"]),
        ("*", "InContext", ["block-gru", "block-plastic"]),
    ):
        assert [planned.group for planned in _STUDY.select(only, run_type)] == groups
    for name in STUDY.run_types:
        assert STUDY.select(run_type=name)
    for arguments, message in (
        (["sensorimotor", "--run-type", "full"], "no run type 'full' in 'sensorimotor': it has Full, "),
        (["graph-walk", "--run-type", "Full"], "it has none; name groups with --only"),
        (["sensorimotor", "--run-type", "Full", "--only", "ds-*"], "no group of 'sensorimotor' matches"),
    ):
        assert reproducing.main([*arguments, "--out", str(tmp_path)]) == 2
        assert message in capsys.readouterr().err


def test_stored_weights_belong_to_the_problems_that_were_met(tmp_path):
    """With the weights stored after a problem, and its images, the right choices are made."""
    settings = merged(
        _QUICK, {"updates": 3, "learner": {"criterion": 0.05, "window": 30, "max_trials": 4000}}
    )
    config = reproducing.config_of(Planned("few", settings), 0, tmp_path)
    run(config)
    found = Results.read(RunDirectory.of(config))
    assert found.metrics["score"] > 0.97
    stored = Stored(found)
    weights, inputs = stored.weights(0, 3), stored.inputs(0, 3)
    assert stored.num_problems == 3
    assert inputs.shape == (3, 2, 20, 11)
    for p in range(3):
        h = np.tile(weights.start[p], (2, 1))
        for t in range(20):
            z = inputs[p, :, t] @ weights.inputs[p] + h @ weights.recurrent[p] + weights.bias[p]
            h = (1 - stored.leak) * h + stored.leak * np.logaddexp(0, z)
        choice = (h @ weights.readout[p] + weights.readout_bias[p]).argmax(-1)
        np.testing.assert_array_equal(choice, [0, 1])
