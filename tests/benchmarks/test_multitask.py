"""The studies of cognitive tasks on very small networks and very few trials."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import plastic_agents
import plastic_envs
from benchmarks.studies.cognitive import everything, lesions, measures, one_task, ring, two_task
from benchmarks.studies.cognitive.fixed_points import Held, PointsEffort, fixed_points
from benchmarks.studies.learning_curves import updates_to
from plastic_agents.agent import NetworkAgent
from plastic_agents.analysis.fixed_points import Search, leading_eigenvalues
from plastic_agents.analysis.lesions import Lesion
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.history import Curve
from plastic_agents.runner.results import Results

_FEW = measures.Effort(
    accuracy=12, variance=16, shift=16, drawn=4, lesion=2, frozen=2, controls=1, clusters=3, pairs=1,
    groups=12, repeats=3,
)  # fmt: skip
_POINTS = PointsEffort(
    random=1,
    eigenvalues=2,
    shares=3,
    directions=1,
    settling=5,
    search=Search(adam_updates=0, lbfgs_updates=2),
)


def agent_of(planned, seed=0, hidden_size=8):
    settings = planned.settings
    task = plastic_envs.make_task(settings["env"], **settings.get("env_kwargs", {}))
    arguments = {**settings.get("agent_kwargs", {}), "hidden_size": hidden_size}
    return plastic_agents.make(settings["agent"], task, seed=seed, device="cpu", **arguments)


def run_of(planned, agent, metrics=None, arrays=None):
    """Results as such a run leaves them, with a made-up training."""
    settings = planned.settings
    config = RunConfig(
        agent=agent.name, env=settings["env"], env_kwargs=settings.get("env_kwargs", {}), seed=agent.seed,
        device="cpu",
    )  # fmt: skip
    updates = np.arange(0, 60, 10)
    rise = np.linspace(0.1, 1.0, 6)
    curves = {f"eval/{name}": Curve(updates, rise) for name in ("accuracy_trial", "accuracy_angle")}
    own = dict.fromkeys(("accuracy_trial", "accuracy_angle", "accuracy_response"), 0.5)
    own |= {"train_seconds": 1.0, "updates": 50, "params_slow": 9, "chance": 0.125}
    return Results(config, own | (metrics or {}), curves, arrays or {})


def measured(study, planned, seed=0):
    agent = agent_of(planned, seed)
    run = run_of(planned, agent)
    metrics, arrays = study.measurement(planned.group, agent, run)
    return replace(run, metrics={**run.metrics, **metrics}, arrays=arrays)


def drawn(study, results, slow=()):
    """Names of a study's figures, each laid out but for those that take seconds."""
    found = study.figures(results)
    assert len({name for name, _, _ in found}) == len(found)
    for name, caption, figure in found:
        assert caption.endswith(".")
        if name not in slow:
            figure.draw_without_rendering()
    return {name for name, _, _ in found}


@pytest.fixture(scope="module")
def fifteen() -> dict[str, list[Results]]:
    """Untrained networks, one of each group, and two of the regularised ones."""
    study = replace(everything.STUDY, effort=_FEW)
    return {
        planned.group: [measured(study, planned, seed) for seed in range(1 + (planned.group[-1] == "d"))]
        for planned in study.plan()
        if planned.group != "gru"
    }


@pytest.mark.slow
def test_fifteen_tasks_are_measured_and_shown(fifteen):
    plastic = fifteen["mpn"][0]
    assert plastic.arrays["variance/modulation"].shape == (49, 64)
    assert plastic.arrays["clusters/modulation/groups"].shape == (64,)
    assert plastic.metrics["freeze_nothing/changed_bits"] == 0
    for kind in lesions.KINDS:
        assert plastic.arrays[f"lesions/{kind}/accuracy"].shape == (3, 15)
    assert plastic.arrays["pruning/accuracy"].shape == (8, 15)
    assert "variance/modulation" not in fifteen["leaky-rnn"][0].arrays
    assert "lesions/intact" not in fifteen["mpn-regularised"][0].arrays
    rows = everything.STUDY.table(fifteen)
    names = [row.quantity for row in rows]
    assert len(set(names)) == len(names)
    published = {row.quantity: row.published for row in rows if row.published}
    assert published["mpn-regularised: delaydm1 / delaydm2 in one cluster, hidden, stim2 (%)"] == "42.9"
    assert published["mpn: modulation, clusters of task-periods"] == "about 15"
    slow = [f"{group}-{name}" for group in fifteen for name in ("co_membership", "subspaces", "silhouettes")]
    names = drawn(everything.STUDY, fifteen, (*slow, "learning", "mpn-states", "mpn-variance"))
    assert {"learning", "accuracy", "mpn-variance", "mpn-lesions", "co_membership_table"} <= names
    names = drawn(everything.STUDY, {"leaky-rnn": fifteen["leaky-rnn"]}, ("learning",))
    assert names == {"learning", "accuracy"}


@pytest.mark.slow
def test_the_published_table_is_as_large_as_ours(fifteen):
    ours = everything.membership(fifteen["mpn-regularised"])
    for kind, table in everything.PUBLISHED.items():
        np.testing.assert_array_equal(np.isnan(table), np.isnan(ours[kind]))


@pytest.mark.slow
def test_a_clustering_survives_being_stored(fifteen):
    arrays = fifteen["mpn"][0].arrays
    clustering = measures.unpacked(arrays, "clusters/hidden/columns")
    np.testing.assert_array_equal(clustering.cut(clustering.num_clusters), clustering.labels)
    again = measures.packed(clustering, "x")
    np.testing.assert_array_equal(again["x/tree"], arrays["clusters/hidden/columns/tree"])


def test_variance_while_passing_is_that_of_all_states_at_once():
    planned = everything.STUDY.plan()[0]
    agent = agent_of(planned)
    assert isinstance(agent, NetworkAgent)
    found = measures.state_variance(agent, 3, _FEW)[1]
    battery = measures.battery_of(agent)
    rows = measures.periods_of(battery)
    episodes = measures.trials_of(battery.with_settings(mode="long_all"), "delaygo", 16, 3, "variance")
    bins, starts = episodes.facts["direction"][:, 0], episodes.facts["epoch_starts"][0]
    hidden = agent.network.run(torch.as_tensor(episodes.observations)).features.detach().numpy()
    first, last = starts[1], starts[2]  # stim1
    means = np.stack([hidden[first:last, bins == k].mean(1) for k in np.unique(bins)])
    row = rows.index(("delaygo", "stim1"))
    np.testing.assert_allclose(found["variance/hidden"][row], means.var((0, 1)), rtol=2e-3, atol=1e-9)


def test_outputs_do_not_depend_on_padding_and_order():
    agent = agent_of(everything.STUDY.plan()[0])
    battery = measures.battery_of(agent)
    episodes = battery.sample(np.random.default_rng(0), 9)
    outputs = measures.outputs_of(agent.network, episodes)
    for row in range(9):
        length = int(episodes.lengths[row])
        alone = agent.network(torch.as_tensor(episodes.observations[:length, row : row + 1]))[0]
        np.testing.assert_allclose(outputs[:length, row], alone[:, 0].detach(), atol=1e-5)
        assert not outputs[length:, row].any()


def test_a_lesioned_copy_lacks_what_was_taken_away():
    network = agent_of(everything.STUDY.plan()[0]).network
    blank = Lesion.nothing((8, 8))
    frozen = replace(blank, frozen=np.ones((8, 8), dtype=bool))
    x = torch.randn(7, 2, network.embedding.in_features)
    after = lesions.lesioned(network, frozen)(x)[1].modulation
    assert not after.any()
    assert network(x)[1].modulation.any()
    hidden = replace(blank, hidden=np.arange(8) < 3)
    assert not lesions.lesioned(network, hidden).run(x).features[..., :3].any()
    assert network.run(x).features[..., :3].all()


def test_one_task_is_measured_and_shown():
    study = replace(one_task.STUDY, effort=_POINTS)
    results = {p.group: [measured(study, p, seed) for seed in (0, 1)] for p in study.plan()[:2]}
    assert "points/tolerance" in results["mpn"][0].metrics
    assert "points/tolerance" not in results["mpn"][1].metrics
    rows = {row.quantity: row for row in one_task.STUDY.table(results)}
    assert rows["mpn: updates to accuracy by angle 0.95"].ours == 50
    assert rows["mpn: share of seeds with accuracy by trial 0.9 within 200 updates"].ours == 1
    assert rows["mpn: fixed points, settled: stable, share"].n == 1
    assert drawn(one_task.STUDY, results) == {"learning", "eigenvalues", "answers"}


def test_what_was_never_reached_is_not_a_number():
    planned = one_task.STUDY.plan()[0]
    run = run_of(planned, agent_of(planned))
    assert np.isnan(updates_to(run, 1.01, "eval/accuracy_trial"))
    assert np.isnan(updates_to(run, 0.5, "eval/accuracy_other"))


def test_rows_of_m_have_eigenvalues_of_their_own():
    """J is a block for each unit, lambda plus a matrix of rank one: its spectrum can be written down."""
    planned = one_task.STUDY.plan()[0]
    agent = agent_of(planned, hidden_size=6)
    held = Held(agent.network)
    observation = np.random.default_rng(0).normal(size=agent.network.embedding.in_features)
    point = 0.1 * np.random.default_rng(1).normal(size=(6, 6))
    found = leading_eigenvalues(held.step(observation), point, np.random.default_rng(2), 36)
    network = agent.network.double()
    (layer,) = network.plastic
    with torch.no_grad():
        x = network.embed(torch.as_tensor(observation))
        slope = 1 - torch.tanh(layer.weight * (1 + torch.as_tensor(point)) @ x + layer.bias).square()
        expected = layer.decay + layer.eta * slope * (layer.weight @ x.square())
    every = np.concatenate((expected.numpy(), np.full(30, float(layer.decay))))
    np.testing.assert_allclose(np.sort(found.real), np.sort(every), atol=1e-8)


def test_what_has_settled_is_a_fixed_point():
    agent = agent_of(one_task.STUDY.plan()[0])
    effort = replace(_POINTS, random=0, settling=4000)
    metrics, arrays = fixed_points(agent.network, agent.task, "delaygo", 0, effort)
    assert metrics["points/settled/residual"] < 1e-6
    assert metrics["points/settled/accepted"] == 1
    assert arrays["points/delay/eigenvalues"].shape == (8, 2)


def test_two_tasks_are_measured_and_shown():
    study = replace(two_task.STUDY, effort=two_task.TwoTaskEffort(_FEW, _POINTS))
    (planned,) = study.plan()
    results = {planned.group: [measured(study, planned)]}
    arrays = results["mpn"][0].arrays
    assert arrays["variance/hidden"].shape == (6, 8)
    assert arrays["followed/settled/turned"].shape == (1, 3)
    quantities = [row.quantity for row in two_task.STUDY.table(results)]
    assert len(set(quantities)) == len(quantities)
    names = {"learning", "mpn-variance", "mpn-fractions", "mpn-followed"}
    assert drawn(two_task.STUDY, results) == names


def test_the_ring_battery_is_measured_and_shown():
    study = replace(ring.STUDY, effort=_FEW)
    (planned,) = study.plan()
    results = {planned.group: [measured(study, planned)]}
    (run,) = results["mpn"]
    assert run.arrays["accuracy/trial"].shape == (20,)
    quantities = [row.quantity for row in ring.STUDY.table(results)]
    assert len(set(quantities)) == len(quantities) == 7 + 20 + 3 * 6
    assert drawn(ring.STUDY, results, ("learning", "accuracy")) == {"learning", "accuracy", "composition"}


@pytest.mark.parametrize("task", list(ring.COMPOSITIONS))
def test_replaced_rules_are_those_that_the_network_sees(task):
    """Yang et al. 2019, fig. 6: the strengths of each sum are 1, 1 and -1, so that they are 1 in all."""
    battery = plastic_envs.make_task("Cognitive-everything-vector-v0", tasks="all", dialect="ring", sigma_x=0)
    alone = battery.with_settings(tasks=[task], rule_columns=list(battery.settings.columns))
    shown = ring.stand_ins(task)
    assert shown["own rule"] == {task: 1.0}
    assert sum(shown["sum"].values()) == 1.0
    for strengths in shown.values():
        probe = alone.with_settings(rules=strengths)
        rules = probe.sample(np.random.default_rng(0), 2).observations[0, :, probe.field("rule").slice]
        expected = [strengths.get(name, 0.0) for name in battery.settings.columns]
        np.testing.assert_array_equal(rules, [expected, expected])


@pytest.mark.slow
def test_networks_that_did_not_learn_here_have_no_curves_to_draw(fifteen):
    trained = {group: fifteen[group] for group in ("mpn", "leaky-rnn")}
    shipped = {group: [replace(run, curves={}) for run in runs] for group, runs in trained.items()}
    assert {name for name, _, _ in everything.STUDY.figures(trained)} - {
        name for name, _, _ in everything.STUDY.figures(shipped)
    } == {"learning"}
