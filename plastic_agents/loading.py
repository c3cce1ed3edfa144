"""Agents from files: our own, shipped ones, and other systems' published networks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from plastic_agents import pretrained
from plastic_agents.agent import Agent, NetworkAgent, header
from plastic_agents.files import checked, plain, read_tensors
from plastic_agents.learners.base import put_weights
from plastic_agents.registry import AGENTS, check_at_hand, make, network_shapes
from plastic_envs.registry import make_task, trusted_task_class
from plastic_envs.task import Task

__all__ = ["check_same_agent", "check_weights", "load"]

# What a file says of the agent in it; see `plastic_agents.agent.header`.
_HEADER: dict[str, type | tuple[type, ...]] = {
    "agent": str,
    "seed": int,
    "task": str,
    "task_kwargs": dict,
    "network_kwargs": dict,
    "method": (str, type(None)),
    "learner_settings": dict,
    "weights": dict,
    "learner": dict,
}
_MAY_DIFFER = ("weights", "learner", "learner_settings")  # between a run and its checkpoint
_LARGEST_SIZE = 10**6  # of a task that is made because a file says so
# All that a constructor raises on arguments that are not for it.
_REFUSALS = (TypeError, ValueError, ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError)


def load(
    path: str | os.PathLike[str],
    task: Task | str | None = None,
    device: str = "auto",
    trust: bool = False,
) -> Agent:
    """Read an agent that `Agent.save` (or a run) wrote, a shipped one, or another system's published network.

    No code that a file names is run, unless it is registered, your program has imported it already, or you
    trust the file.

    Args:
        path: The file, or a name in `plastic_agents.pretrained.names()`.
        task: The task to play, or its id; by default the one that it was made for.
        device: "auto", "cpu" or "cuda".
        trust: Import the modules of the task, agent and learner that the file names. Only for your own files.

    Raises:
        FileNotFoundError: If there is no such file or shipped network.
        ValueError: If the file is damaged, is no agent, names a class that may not be imported, or does not
            fit the task.
    """
    name = os.fspath(path)
    if name in pretrained.names():
        path = pretrained.agent_file(name)
    elif not os.path.exists(path):
        raise FileNotFoundError(
            f"{name!r}: no such file, nor a shipped network (there are: {', '.join(pretrained.names())})."
        )
    elif os.path.isdir(path):
        raise ValueError(f"{name!r} is a directory; name the agent's file in it, such as agent.pt.")
    content, ours = read_tensors(path, "agent")
    if task is not None and not isinstance(task, Task):
        task = make_task(task)
    if not ours:
        return _load_foreign(name, content, task, device)
    checked(content, _HEADER, name)
    try:
        for entry in filter(None, (content["agent"], content["method"])):
            check_at_hand(entry, trust)
    except ValueError as error:
        raise ValueError(f"{name!r}: {error}") from error
    if task is None:
        task = _task_of(name, content, trust)
    arguments = (content["network_kwargs"], content["method"], content["seed"])
    agent = _loaded(name, content["agent"], task, device, content, *arguments)
    same_task = header(agent)["task"] == content["task"] and plain(task.describe()) == content["task_kwargs"]
    if isinstance(agent, NetworkAgent) and same_task and content["learner"]:
        try:
            agent.load_training_state(content)
        except _REFUSALS as error:  # of the wrong types, or too few
            raise ValueError(
                f"{name!r}: the learner's progress in it does not fit: {error!r}; make the file anew."
            ) from error
    return agent


def check_weights(
    name: str, task: Task, weights: Mapping[str, Any], expected: Mapping[str, torch.Tensor]
) -> None:
    """Check that a file's weights are those of a network for a task, and all finite.

    Args:
        name: The file, for the error.
        task: The task, for the error.
        weights: By name, as in the file.
        expected: Tensors of the right shapes and types by name (on any device).

    Raises:
        ValueError: If not.
    """
    shapes = {k: tuple(getattr(w, "shape", ())) for k, w in weights.items()}
    wrong = {
        k: (shapes.get(k, "missing"), tuple(expected[k].shape) if k in expected else "none such")
        for k in {**expected, **weights}
        if k not in expected or shapes.get(k) != tuple(expected[k].shape)
    }
    if wrong:
        raise ValueError(
            f"{name!r} does not fit {type(task).__name__}, as {{weight: (shape in the file, shape for "
            f"the task)}}: {wrong}; give the task that the network was made for."
        )
    for k, w in weights.items():
        same = w.is_floating_point() if expected[k].is_floating_point() else w.dtype == expected[k].dtype
        if not same:
            raise ValueError(f"{name!r}: weight {k!r} is of type {w.dtype}, expected {expected[k].dtype}.")
        if w.is_floating_point() and not bool(torch.isfinite(w).all()):
            raise ValueError(
                f"{name!r}: weight {k!r} has entries that are not finite (NaN or infinity), so the network "
                "is of no use; train it anew, with a smaller learning rate if it diverged."
            )


def check_same_agent(name: str, agent: NetworkAgent, state: Any) -> None:
    """Check that a training state (`NetworkAgent.training_state`) is one of this very agent.

    Args:
        name: The file it comes from, for the error.
        agent: The agent that is to go on from it.
        state: The state.

    Raises:
        ValueError: If it is of another agent, task or seed, or its weights do not fit or are not finite.
    """
    checked(state, _HEADER, name)
    ours = plain(header(agent))
    other = {k: (state[k], ours[k]) for k in _HEADER if k not in _MAY_DIFFER and state[k] != ours[k]}
    if other:
        raise ValueError(
            f"{name!r} is a checkpoint of another run, as {{setting: (there, here)}}: {other}; go on with "
            "the settings that it was written with, or start over."
        )
    check_weights(name, agent.task, state["weights"], agent.network.state_dict())


def _task_of(name: str, content: Mapping[str, Any], trust: bool) -> Task:
    """The task that a file names."""
    kind, arguments = content["task"], content["task_kwargs"]
    own = "give the task yourself: load(path, task=...)"
    try:
        cls = trusted_task_class(kind, trust)
    except ValueError as error:
        raise ValueError(f"{name!r}: {error} Or {own}.") from error
    if huge := [
        k for k, v in arguments.items() if not str(k).endswith("seed") and _largest(v) > _LARGEST_SIZE
    ]:
        raise ValueError(
            f"{name!r} names sizes above {_LARGEST_SIZE} for its task, {huge}; if they are meant, {own}."
        )
    try:
        return cls(**{str(k): v for k, v in arguments.items()})
    except _REFUSALS as error:
        raise ValueError(
            f"{name!r}: its task {kind!r} cannot be made with the arguments that the file gives "
            f"({sorted(map(str, arguments))}): {error}. If Task.describe() leaves out an argument, {own}."
        ) from error


def _largest(value: Any) -> float:
    """The largest whole number in a task's argument; 0 if there is none."""
    if isinstance(value, (list, tuple)):
        return max(map(_largest, value), default=0)
    return abs(value) if isinstance(value, int) else 0


def _load_foreign(name: str, content: Mapping[str, Any], task: Task | None, device: str) -> Agent:
    """An agent from a file of another system."""
    for agent, spec in AGENTS.items():
        if spec.foreign is None:
            continue
        try:
            network = spec.foreign.read(content)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{name!r}: {error}") from error
        if network is not None:
            arguments, weights = network
            content = {"weights": weights}
            return _loaded(name, agent, task or make_task(spec.foreign.env), device, content, arguments)
    raise ValueError(
        f"{name!r} is not an agent of this suite, nor a published network of a known format; see Agent.save."
    )


def _loaded(
    name: str,
    agent_name: str,
    task: Task,
    device: str,
    content: Mapping[str, Any],
    arguments: Mapping[str, Any],
    method: str | None = None,
    seed: int = 0,
) -> Agent:
    """The agent with these weights, if they fit; shapes are compared before any memory is taken for it."""
    try:
        expected = network_shapes(agent_name, task, arguments, method)
    except _REFUSALS as error:
        raise ValueError(f"{name!r} does not fit {type(task).__name__}: {error}") from error
    weights, settings = content["weights"], content.get("learner_settings") or None
    check_weights(name, task, weights, expected)
    try:
        agent = make(agent_name, task, seed=seed, device=device, method=method, learner=settings, **arguments)
    except _REFUSALS as error:
        raise ValueError(
            f"{name!r}: no {agent_name!r} can be made of what it says: {error}; make the file anew."
        ) from error
    if isinstance(agent, NetworkAgent):
        put_weights(agent.network, weights)
    return agent
