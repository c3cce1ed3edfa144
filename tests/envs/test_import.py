"""What importing the environments may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import plastic_envs

HEAVY = ("torch", "stable_baselines3", "matplotlib", "scipy")


def test_environments_need_no_torch_and_load_nothing_heavy():
    """The environments stand alone: every task is made, played and scored without the agents' packages."""
    code = f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None  # importing it now fails
import gymnasium as gym
import numpy as np
import plastic_envs
for env_id in plastic_envs.ENVIRONMENTS:
    env = gym.make(env_id)
    env.reset(seed=0)
    env.step(env.action_space.sample())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_module_imports_one_that_imports_it():
    """No circles, imports in functions and for types only counted too."""
    root = Path(plastic_envs.__file__).parent
    imports = {}
    for path in root.rglob("*.py"):
        module = ".".join(("plastic_envs", *path.relative_to(root).with_suffix("").parts))
        nodes = ast.walk(ast.parse(path.read_text()))
        imports[module] = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    while free := [module for module, others in imports.items() if not others & imports.keys()]:
        for module in free:
            del imports[module]
    assert not imports, f"a circle among {sorted(imports)}"
