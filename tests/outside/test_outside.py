"""Tasks and agents of people outside the suite, in files of their own, with no other edit."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

import plastic_agents
import plastic_envs
from plastic_agents.registry import AGENTS, LEARNERS
from plastic_agents.runner.checkpoints import Checkpointer
from plastic_agents.runner.config import from_file, parse, read
from plastic_agents.runner.figures import colour_of
from plastic_agents.runner.main import main
from plastic_agents.runner.results import Results
from plastic_agents.runner.run import run
from plastic_agents.runner.rundir import RunDirectory
from plastic_agents.runner.workers import carry_out_all
from plastic_envs.naming import at_hand, imported, is_name, name_of, short_name

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
BANDIT, BCM = "bandit.py:ReversalBandit", "bcm.py:BCM"
QUICK = [
    *("--env", BANDIT, "--env_kwargs", "{num_steps: 10}", "--eval_episodes", "20", "--device", "cpu"),
    *("--updates", "4", "--learner.batch_size", "4", "--learner.evaluate_every", "2", "--no_progress_bar"),
    *("--learner.validation_episodes", "4", "--checkpoint_every", "1", "--no_report", "--no_figures"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the two files, and nothing registered or imported afterwards."""
    for name in ("bandit.py", "bcm.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    for table in (plastic_envs.ENVIRONMENTS, AGENTS, LEARNERS, gym.registry):
        for key, row in list(table.items()):
            monkeypatch.setitem(table, key, row)
    before = set(sys.modules)
    yield tmp_path
    for table in (plastic_envs.ENVIRONMENTS, AGENTS, LEARNERS, gym.registry):
        for key in [key for key in table if key.startswith("Mine")]:
            del table[key]
    for name in [name for name in set(sys.modules) - before if name.endswith("%2Epy")]:
        del sys.modules[name]


@pytest.mark.parametrize(("name", "most"), [("bandit.py", 40), ("bcm.py", 25)])
def test_the_examples_are_small(name: str, most: int) -> None:
    """A task in 40 lines, a rule in 25: those that are not blank, docstrings apart."""
    text = (EXAMPLES / name).read_text()
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            docstrings |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = [line for i, line in enumerate(text.splitlines(), 1) if line.strip() and i not in docstrings]
    assert len(lines) <= most


def test_a_name_of_a_file_is_taken_wherever_a_task_or_agent_is(folder: Path) -> None:
    task = plastic_envs.make_task(BANDIT, num_steps=10)
    assert name_of(type(task)) == f"{folder}/{BANDIT}"
    assert imported(name_of(type(task))) is type(task)
    assert gym.make("PlasticTask-v0", task=BANDIT, num_steps=10).reset(seed=0)[0].shape == (3,)
    envs = gym.make_vec("PlasticTask-v0", num_envs=2, task=BANDIT)
    assert isinstance(envs.unwrapped.task, type(task))
    agent = plastic_agents.make(BCM, BANDIT, hidden_size=8, device="cpu", method="actor-critic")
    assert agent.name == f"{folder}/{BCM}"
    agent.learn(updates=1)
    agent.save("agent.pt")
    again = plastic_agents.load("agent.pt")
    assert torch.equal(again.network.rate, agent.network.rate)
    assert again.network.num_features == 8


def test_the_oracle_is_the_same_to_the_last_bit_whoever_played_before() -> None:
    task = plastic_envs.make_task(BANDIT)
    episodes = task.sample(0, 300)
    scores = [task.reference_scores(episodes)["oracle"]]
    for policy in ("random", "oracle"):
        plastic_agents.make(policy, task, seed=1).act_on(episodes)
        scores.append(task.reference_scores(episodes)["oracle"])
    assert scores[0] == scores[1] == scores[2]
    assert 0.8 < scores[0] < 0.86


def test_the_rule_agrees_step_by_step_and_forgets_its_rates_only() -> None:
    network = plastic_agents.make(BCM, BANDIT, device="cpu").network
    inputs = torch.rand(6, 3, 3, generator=torch.Generator().manual_seed(0))
    whole, state = network(inputs)
    parts, steps = None, []
    for x in inputs:
        output, parts = network(x[None], parts)
        steps.append(output[0])
    torch.testing.assert_close(torch.stack(steps), whole)
    resets = torch.zeros(6, 3, dtype=torch.bool)
    resets[5, 0] = True
    after = network(inputs, None, resets)[1]
    assert after.weights[0].abs().sum() > 0
    torch.testing.assert_close(after.weights[1:], state.weights[1:])
    assert not torch.equal(after.rates[0], state.rates[0])


def test_a_run_is_trained_stopped_resumed_compared_and_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["run", *QUICK, "--agent", BCM]
    with pytest.MonkeyPatch.context() as patch:
        original = Checkpointer.on_update

        def interrupt(self: Checkpointer, agent: object, update: int, row: dict[str, float]) -> object:
            self._stop.made = update == 2
            return original(self, agent, update, row)

        patch.setattr(Checkpointer, "on_update", interrupt)
        assert main(arguments) == 130
    directory = RunDirectory(folder / "runs" / "bandit.ReversalBandit" / "bcm.BCM" / "seed-0")
    assert directory.has_checkpoint
    assert not directory.finished
    monkeypatch.chdir("/")  # the names that were typed are kept with their full path
    config = replace_names(read(directory.config_file), folder)
    assert config.method == "supervised"
    monkeypatch.chdir(folder)
    assert main([*arguments, "--resume"]) == 0
    assert json.loads(directory.metrics_file.read_text())["updates"] == 4
    assert main(["run", *QUICK, "--agent", "gru", "--figures", "--report"]) == 0
    runs = folder / "runs" / "bandit.ReversalBandit"
    assert "bcm.BCM" in (runs / "gru" / "seed-0" / "report.html").read_text()
    assert Results.read(directory).label == "bcm.BCM, seed 0"
    assert colour_of(f"{folder}/{BCM}") == colour_of("bcm.BCM")
    assert colour_of("bcm.BCM") not in {colour_of(name) for name in AGENTS}
    code = f"""
import plastic_agents
try:
    plastic_agents.load({str(directory.agent_file)!r})
except ValueError as error:
    assert "not imported" in str(error) and "trust" in str(error), error
else:
    raise SystemExit("a file's own names were imported")
agent = plastic_agents.load({str(directory.agent_file)!r}, trust=True)
print(type(agent.network).__name__, type(agent.task).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", check=False)
    assert done.stdout.split() == ["BCM", "ReversalBandit"], done.stderr


def replace_names(config: object, folder: Path) -> object:
    assert config.agent == f"{folder}/{BCM}"
    assert config.env == f"{folder}/{BANDIT}"
    return config


def test_what_only_a_settings_file_names_is_not_imported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "evil.py").write_text("raise SystemExit('evil code ran')")
    (folder / "c.yaml").write_text(f"env: {folder}/evil.py:Task\n")
    for arguments in (["--config", "c.yaml"], ["--config", "c.yaml", "--agent", "gru"]):
        with pytest.raises(SystemExit, match="2"):
            parse(arguments)
        assert "settings file only" in capsys.readouterr().err
    (folder / "c.yaml").write_text(f"agent: {folder}/evil.py:Rule\n")
    with pytest.raises(SystemExit, match="2"):
        parse(["--config", "c.yaml"])
    for text in (
        "agent: ./evil.py:R",
        "method: evil.py:L",
        "env: evil.py:T",
        "agent: evil.py:R\nmethod: evil.py:L",
    ):
        (folder / "c.yaml").write_text(text)
        with pytest.raises(ValueError, match=r"not imported|named in a settings file"):
            from_file("c.yaml")
    (folder / "c.yaml").write_text(f"env: {BANDIT}\nagent: {BCM}\n")
    assert parse(["--config", "c.yaml", "--trust"]).method == "supervised"


def test_registered_names_are_known_everywhere_also_in_processes_that_are_started(folder: Path) -> None:
    plastic_envs.register("MineBandit-v0", BANDIT, num_steps=10)
    plastic_agents.register("Mine-bcm", BCM)
    assert gym.make_vec("MineBandit-v0", num_envs=2).reset(seed=0)[0].shape == (2, 3)
    plastic_envs.register("MineBandit-v0", BANDIT, num_steps=10)  # the same once more
    with pytest.raises(ValueError, match="choose another id"):
        plastic_envs.register("MineBandit-v0", BANDIT, num_steps=11)
    config = parse([*QUICK, "--env", "MineBandit-v0", "--agent", "Mine-bcm", "--logdir", "a"])
    assert carry_out_all(run, {"one": (config,)}, 1, "runs") == {}
    agent = plastic_agents.load(RunDirectory.of(config).agent_file)
    assert agent.name == "Mine-bcm"
    del AGENTS["Mine-bcm"]
    with pytest.raises(ValueError, match="register it first"):
        plastic_agents.load(RunDirectory.of(config).agent_file)
    assert read(RunDirectory.of(config).config_file).agent == "Mine-bcm"  # a neighbour's run can be shown


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: plastic_envs.register("Mine-v0", int), TypeError, "plastic_envs.Task"),
        (lambda: plastic_envs.register("Mine-v0", "bandit"), ValueError, "file.py:Name"),
        (lambda: plastic_envs.register("PlasticGraph-switch-v0", BANDIT), ValueError, "choose another id"),
        (lambda: plastic_envs.make_task("nowhere.py:Task"), ValueError, "no file"),
        (lambda: plastic_envs.make_task("bandit.py:Bandit"), ValueError, "has no 'Bandit'"),
        (lambda: plastic_envs.make_task("bcm.py:BCM"), TypeError, "subclass of plastic_envs.Task"),
        (lambda: plastic_agents.make(BANDIT, BANDIT), TypeError, "AgentSpec or a subclass"),
        (lambda: plastic_agents.make("gru", BANDIT, method=BCM), TypeError, "subclass of Learner"),
        (lambda: plastic_agents.make(BCM, BANDIT, hidden=3), TypeError, "hidden_size"),
        (lambda: plastic_agents.register("gru", BCM), ValueError, "choose another name"),
        (lambda: plastic_agents.register("Mine", 3), TypeError, "AgentSpec"),
    ],
)
def test_mistakes_are_named(call: object, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


def test_a_learner_of_ones_own_is_a_method(folder: Path) -> None:
    (folder / "learner.py").write_text(
        "from plastic_agents.learners.supervised import SupervisedLearner\n"
        "class Mine(SupervisedLearner):\n    '''Supervised, under another name.'''\n"
    )
    agent = plastic_agents.make("gru", BANDIT, method="learner.py:Mine", device="cpu").learn(updates=1)
    plastic_agents.register("Mine-learner", "learner.py:Mine")
    same = plastic_agents.make("gru", BANDIT, method="Mine-learner", device="cpu").learn(updates=1)
    ours, theirs = agent.network.state_dict(), same.network.state_dict()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_names() -> None:
    assert is_name("a.b:C")
    assert is_name("x/y.py:C.D")
    for text in ("PlasticGraph-disjoint-v0", "a:", ":b", "a:1", "", None, "C:\\x"):
        assert not is_name(text), text
    assert short_name("/x/y.py:C") == "y.C"
    assert short_name("plastic") == "plastic"
    with pytest.raises(LookupError, match="not imported"):
        at_hand("surely_not_here:C")
    assert np.array_equal(plastic_envs.make_task(BANDIT).sample(3, 2).targets,
                          plastic_envs.make_task(BANDIT).sample(3, 2).targets)  # fmt: skip
