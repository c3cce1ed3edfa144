"""What importing the environments may cost."""

from __future__ import annotations

import subprocess
import sys

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
