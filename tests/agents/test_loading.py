"""`plastic_agents.load`: nothing that a file names is run, and what does not fit is said in one error."""

from __future__ import annotations

import io
import pickle
import shutil
import subprocess
import sys
import time
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import plastic_agents
from benchmarks.ship import rewrite
from plastic_agents import files, pretrained
from plastic_agents.agent import NetworkAgent
from plastic_agents.runner.checkpoints import Checkpointer, StopRequest
from plastic_agents.runner.config import from_file, parse
from plastic_agents.runner.history import History
from plastic_envs import make_task
from plastic_envs.evidence.task import EvidenceIntegration
from plastic_envs.registry import build_task, trusted_task_class
from plastic_envs.task import Task

ENV = "EvidenceIntegration-v0"
LEARNER = {"batch_size": 2, "validation_episodes": 2, "updates": 1}


def small(task: Task | str = ENV, **arguments: Any) -> NetworkAgent:
    agent = plastic_agents.make(
        "gru", task, device="cpu", **{"hidden_size": 4, "learner": LEARNER, **arguments}
    )
    assert isinstance(agent, NetworkAgent)
    return agent


def checkpointer(path: Path) -> Checkpointer:
    return Checkpointer(path, History(), 1, 2, StopRequest())


def agent_content(task: Task | str = ENV) -> dict[str, Any]:
    agent = small(task)
    return plastic_agents.agent.header(agent) | {"weights": agent.network.state_dict(), "learner": {}}


# ---- nothing that a file names is run -----------------------------------------------------------


class Payload:
    """An object whose pickle, when it is read, runs a command."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return subprocess.check_call, (["touch", str(self.victim)],)


def _touch(victim: Path) -> list[tuple[str, dict[str, Any]]]:
    """Names that run a command or code when they are called or imported, with their arguments."""
    return [
        ("subprocess:Popen", {"args": ["touch", str(victim)]}),
        ("os:system", {"command": f"touch {victim}"}),
        ("pathlib:Path.touch", {"self": str(victim)}),
        ("harmful_module:Anything", {}),
        ("harmful_module:HarmfulTask", {}),
        ("plastic_envs.views.vector_env:importlib.import_module", {"name": "harmful_module"}),
    ]


@pytest.fixture
def victim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is never made unless code from a file is run; `harmful_module` makes it when imported."""
    path = tmp_path / "victim"
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "harmful_module.py").write_text(
        f"open({str(path)!r}, 'w').close()\n"
        "from plastic_envs.evidence.task import EvidenceIntegration\n"
        "class HarmfulTask(EvidenceIntegration): pass\n"
        "class Anything: pass\n"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "harmful_module", raising=False)
    return path


def test_an_agent_file_runs_nothing_that_it_names(victim: Path, tmp_path: Path) -> None:
    """C1 of the report of faults: `load` imported and called whatever the file named."""
    for name, arguments in _touch(victim):
        content = agent_content() | {"task": name, "task_kwargs": arguments}
        files.write_tensors(tmp_path / "agent.pt", "agent", content)
        with pytest.raises(ValueError, match=r"agent\.pt.*load\(path, task=\.\.\.\)"):
            plastic_agents.load(tmp_path / "agent.pt")
        assert not victim.exists()
        assert "harmful_module" not in sys.modules
        # With a task of the user's own, what the file names is of no interest.
        assert plastic_agents.load(tmp_path / "agent.pt", task=ENV).name == "gru"
        assert not victim.exists()


def test_a_trusted_file_may_name_a_module_but_nothing_but_a_task_is_called(
    victim: Path, tmp_path: Path
) -> None:
    for name, arguments in _touch(victim)[:3]:
        content = agent_content() | {"task": name, "task_kwargs": arguments}
        files.write_tensors(tmp_path / "agent.pt", "agent", content)
        with pytest.raises(ValueError, match=r"expected a subclass of plastic_envs\.Task"):
            plastic_agents.load(tmp_path / "agent.pt", trust=True)
        assert not victim.exists()
    files.write_tensors(
        tmp_path / "agent.pt", "agent", agent_content() | {"task": "harmful_module:HarmfulTask"}
    )
    agent = plastic_agents.load(tmp_path / "agent.pt", trust=True)
    assert type(agent.task).__name__ == "HarmfulTask"
    assert victim.exists()  # importing it was what the user asked for


def test_a_checkpoint_runs_nothing_that_it_names(victim: Path, tmp_path: Path) -> None:
    agent = small()
    agent.learn(updates=1, callback=checkpointer(tmp_path / "checkpoint.pt"))
    content, _ = files.read_tensors(tmp_path / "checkpoint.pt", "checkpoint")
    for name, arguments in _touch(victim):
        changed = content | {"agent": content["agent"] | {"task": name, "task_kwargs": arguments}}
        files.write_tensors(tmp_path / "checkpoint.pt", "checkpoint", changed)
        with pytest.raises(ValueError, match=r"checkpoint\.pt' is a checkpoint of another run"):
            checkpointer(tmp_path / "checkpoint.pt").resume(small())
        assert not victim.exists()


@pytest.mark.parametrize("where", ["agent", "checkpoint", "released"])
def test_a_pickle_that_runs_a_command_is_refused(where: str, victim: Path, tmp_path: Path) -> None:
    """K9: the refusal repeated torch's advice to read the file with weights_only=False."""
    path = tmp_path / "x.pt"
    content: dict[str, Any] = agent_content() | {"more": Payload(victim)}
    if where == "released":
        content = {"etaet": torch.ones(1), "w": Payload(victim)}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    plain_pickle = pickle.dumps(Payload(victim))

    def read(file: Path) -> None:
        checkpointer(file).resume(small()) if where == "checkpoint" else plastic_agents.load(file)

    for data in (buffer.getvalue(), plain_pickle, _signed(buffer.getvalue())):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"never run|damaged") as caught:
            read(path)
        assert "weights_only=False" not in str(caught.value)
        assert not victim.exists()


def _signed(data: bytes) -> bytes:
    data = data[:-2] + len(files._trailer(b"")).to_bytes(2, "little")
    return data + files._trailer(data)


def test_a_released_file_runs_nothing(victim: Path, tmp_path: Path) -> None:
    content = {
        "etaet": torch.ones(1),
        "task": "subprocess:Popen",
        "task_kwargs": {"args": ["touch", str(victim)]},
    }
    torch.save(content, tmp_path / "net.dat")
    with pytest.raises(ValueError, match=r"net\.dat.*missing here"):
        plastic_agents.load(tmp_path / "net.dat", trust=True)
    assert not victim.exists()


@pytest.mark.parametrize("read", [from_file, lambda path: parse(["--config", str(path)])])
def test_a_configuration_file_runs_nothing_that_it_names(
    read: Callable[[Path], object], victim: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """K9: `env_kwargs` could name any function as the task; jsonargparse imports what `class_path` names."""
    file = tmp_path / "config.yaml"
    for text in (
        f"env_kwargs: {{task: 'os:system', command: 'touch {victim}'}}",
        f"env_kwargs: {{task: 'subprocess:Popen', args: [touch, {victim}]}}",
        "env_kwargs: {task: 'harmful_module:HarmfulTask'}",
        "env_kwargs: {num_tokens: {class_path: harmful_module.Anything}}",
        f"agent_kwargs: {{a: {{class_path: subprocess.Popen, init_args: {{args: [touch, {victim}]}}}}}}",
        "learner: {class_path: harmful_module.Anything}",
        f"seed: !!python/object/apply:os.system ['touch {victim}']",
    ):
        file.write_text(text + "\n")
        with pytest.raises((ValueError, SystemExit)):
            read(file)
        assert not victim.exists()
        assert "harmful_module" not in sys.modules
        assert "Traceback" not in capsys.readouterr().err


def test_gym_make_calls_no_task_that_is_none(victim: Path) -> None:
    """K9: the type was checked after the call."""
    for name, arguments in _touch(victim)[:3]:
        arguments = {k: v for k, v in arguments.items() if k != "self"}
        with pytest.raises(TypeError, match=r"expected a subclass of plastic_envs\.Task"):
            gym.make(ENV, task=name, **arguments)
        with pytest.raises(TypeError, match=r"expected a subclass of plastic_envs\.Task"):
            build_task(name, **arguments)
    assert not victim.exists()


def test_registered_and_imported_task_classes_may_be_named_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert trusted_task_class("plastic_envs.evidence.task:EvidenceIntegration") is EvidenceIntegration
    module = types.ModuleType("my_lab")
    with pytest.raises(ValueError, match=r"'my_lab:Mine' is not registered.*trust=True"):
        trusted_task_class("my_lab:Mine")
    monkeypatch.setitem(sys.modules, "my_lab", module)
    module.Mine = type("Mine", (EvidenceIntegration,), {})  # type: ignore[attr-defined]
    assert trusted_task_class("my_lab:Mine") is module.Mine
    for name in ("my_lab:Nothing", "my_lab:", "my_lab", ":", "", "my_lab:Mine.sample", "torch:nn.Linear"):
        with pytest.raises(ValueError, match=r"subclass of plastic_envs|not registered|has no"):
            trusted_task_class(name)


# ---- what does not fit is said ------------------------------------------------------------------


def test_weights_for_another_task_are_a_value_error_that_says_what_does_not_fit() -> None:
    """F15: torch's RuntimeError with a list of keys."""
    with pytest.raises(ValueError, match=r"'transitive-gru-0' does not fit GraphWalk.*shape in the file"):
        plastic_agents.load("transitive-gru-0", task="PlasticGraph-disjoint-v0")


def test_shipped_names_may_be_paths() -> None:
    """F30: `run.py --checkpoint transitive-gru-0` never worked, as it makes a Path of it."""
    name = Path("transitive-gru-0")
    assert plastic_agents.load(name).name == "gru"
    assert pretrained.agent_file(name).exists()
    assert pretrained.record(name) == pretrained.record("transitive-gru-0")


@pytest.mark.parametrize("name", pretrained.names())
def test_every_shipped_network_has_a_checksum(name: str) -> None:
    """K2: those that were shipped without one are written again."""
    _, ours = files.read_tensors(pretrained.agent_file(name), "agent")
    assert ours


def test_rewriting_shipped_networks_keeps_every_bit_of_their_weights(tmp_path: Path) -> None:
    """K2: files without a checksum get one, and hold what they held."""
    content, _ = files.read_tensors(pretrained.agent_file("transitive-gru-0"), "agent")
    torch.save({**content, "format": 1}, tmp_path / "old.pt")
    shutil.copyfile(pretrained.config_file("transitive-gru-0"), tmp_path / "old.yaml")
    assert rewrite(tmp_path) == [tmp_path / "old.pt"]
    again, ours = files.read_tensors(tmp_path / "old.pt", "agent")
    assert ours
    assert again.keys() == content.keys()
    assert all(torch.equal(w, again["weights"][name]) for name, w in content["weights"].items())


def test_a_task_that_cannot_be_made_again_is_told_with_its_remedy(tmp_path: Path) -> None:
    """P9, F34: classes made in a function, and arguments that `describe` leaves out."""

    class Local(EvidenceIntegration):
        pass

    small(Local()).save(tmp_path / "local.pt")
    with pytest.raises(ValueError, match=r"local\.pt.*load\(path, task=\.\.\.\)"):
        plastic_agents.load(tmp_path / "local.pt")
    assert plastic_agents.load(tmp_path / "local.pt", task=Local()).name == "gru"

    small(NeedsData(np.ones(3))).save(tmp_path / "data.pt")
    with pytest.raises(ValueError, match=r"data\.pt.*missing 1 required.*load\(path, task=\.\.\.\)"):
        plastic_agents.load(tmp_path / "data.pt")
    assert plastic_agents.load(tmp_path / "data.pt", task=NeedsData(np.ones(3))).name == "gru"


class NeedsData(EvidenceIntegration):
    """A task that is made of data, which `describe` does not give."""

    def __init__(self, data: Any) -> None:
        super().__init__()
        self.data = data

    def describe(self) -> dict[str, Any]:
        """Nothing."""
        return {}


def test_a_checkpoint_given_for_an_agent_says_which_file_is_the_agent(tmp_path: Path) -> None:
    """F14: it was "not an agent of this suite"."""
    agent = small()
    agent.learn(updates=1, callback=checkpointer(tmp_path / "checkpoint.pt"))
    with pytest.raises(ValueError, match=r"checkpoint\.pt' holds a checkpoint.*agent\.pt"):
        plastic_agents.load(tmp_path / "checkpoint.pt")
    agent.save(tmp_path / "agent.pt")
    with pytest.raises(ValueError, match=r"agent\.pt' holds a agent|agent\.pt' holds an agent"):
        checkpointer(tmp_path / "agent.pt").resume(small())
    with pytest.raises(ValueError, match=r"is a directory.*agent\.pt"):
        plastic_agents.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "'seed': \\(0, 1\\)"),
        ({"hidden_size": 5}, "'network_kwargs'"),
        ({"task": "TransitiveInference-v0"}, "'task'"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """K11: it was read without a look at whose it was."""
    small().learn(updates=1, callback=checkpointer(tmp_path / "checkpoint.pt"))
    with pytest.raises(ValueError, match=f"checkpoint of another run.*{message}"):
        checkpointer(tmp_path / "checkpoint.pt").resume(small(**change))


# ---- sizes --------------------------------------------------------------------------------------


def refused_at_once(path: Path, read: Callable[[Path], object] = plastic_agents.load) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match=path.name):
        read(path)
    assert time.process_time() - started < 2


def test_an_archive_that_unpacks_to_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    """K15: it took 54 s and 2.3 GB."""
    small().save(tmp_path / "agent.pt")
    with zipfile.ZipFile(tmp_path / "agent.pt") as old, zipfile.ZipFile(
        tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED
    ) as new:  # fmt: skip
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry) + bytes(2**24))
    refused_at_once(tmp_path / "bomb.pt")


def test_values_that_refer_to_each_other_many_times_over_are_refused(tmp_path: Path) -> None:
    value: Any = [0]
    for _ in range(30):
        value = [value] * 10
    buffer = io.BytesIO()
    torch.save(agent_content() | {"task_kwargs": {"a": value}}, buffer)
    (tmp_path / "bomb.pt").write_bytes(_signed(buffer.getvalue()))
    refused_at_once(tmp_path / "bomb.pt")


@pytest.mark.parametrize("agent", [name for name, spec in plastic_agents.AGENTS.items() if spec.build])
def test_a_huge_size_in_a_file_takes_no_memory(agent: str, tmp_path: Path) -> None:
    """K3: files that named huge sizes hung."""
    env = "PlasticGraph-disjoint-v0"
    with pytest.raises(TypeError) as caught:  # the message lists the arguments that there are
        plastic_agents.make(agent, env, no_such_argument=1)
    sizes = [name for name in ("key_size", "num_units") if name in str(caught.value)]
    size = sizes[0] if sizes else "hidden_size"
    made = plastic_agents.make(agent, env)
    assert isinstance(made, NetworkAgent)
    made.save(tmp_path / "agent.pt")
    content, _ = files.read_tensors(tmp_path / "agent.pt", "agent")
    for value in (50_000, 10**9, 10**30):
        changed = content | {"network_kwargs": {**content["network_kwargs"], size: value}}
        files.write_tensors(tmp_path / "huge.pt", "agent", changed)
        refused_at_once(tmp_path / "huge.pt")


def test_looking_at_shapes_does_not_load_torchs_compiler() -> None:
    """It takes 2 s, which the first `load` of a process would take longer."""
    code = (
        "import sys, plastic_agents\n"
        "from plastic_agents.registry import network_shapes\n"
        "task = plastic_agents.make('random', 'PlasticGraph-disjoint-v0').task\n"
        "for name in plastic_agents.AGENTS:\n"
        "    network_shapes(name, task, {})\n"
        "    assert 'torch._dynamo' not in sys.modules, name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_huge_task_arguments_are_refused_or_do_no_harm(tmp_path: Path) -> None:
    for env in ("PlasticGraph-disjoint-v0", "TransitiveInference-v0", "StimulusCoding-estimation-v0", ENV,
                "SensorimotorAssociation-v0", "Cognitive-dm1-v0"):  # fmt: skip
        task = make_task(env)
        small(task).save(tmp_path / "agent.pt")
        content, _ = files.read_tensors(tmp_path / "agent.pt", "agent")
        for name, old in content["task_kwargs"].items():
            if type(old) not in (int, float):
                continue
            changed = content | {"task_kwargs": content["task_kwargs"] | {name: type(old)(10**9)}}
            files.write_tensors(tmp_path / "huge.pt", "agent", changed)
            started = time.process_time()
            try:
                plastic_agents.load(tmp_path / "huge.pt")
            except ValueError as error:
                assert "huge.pt" in str(error)  # noqa: PT017
            assert time.process_time() - started < 2, (env, name)
