"""Networks that learn inside an episode, the ways they are trained, and baselines to set beside them.

agent = plastic_agents.make("plastic", "PlasticGraph-disjoint-v0", seed=0)
agent.learn(updates=300, progress_bar=True)
agent.save("agent.pt")
agent = plastic_agents.load("agent.pt")
"""

from plastic_envs import __version__

try:
    from plastic_agents.agent import Agent, NetworkAgent
    from plastic_agents.learners.actor_critic import ActorCriticConfig
    from plastic_agents.learners.base import Callback, LearnerConfig
    from plastic_agents.learners.supervised import SupervisedConfig
    from plastic_agents.learners.three_factor import ThreeFactorConfig
    from plastic_agents.loading import load
    from plastic_agents.policy_agent import PolicyAgent
    from plastic_agents.registry import AGENTS, LEARNERS, AgentSpec, make, register
    from plastic_agents.vec_env import TaskVecEnv
except ModuleNotFoundError as error:
    if (error.name or "").startswith("plastic_"):
        raise
    raise ImportError(
        f'plastic_agents needs {error.name}, which is not installed: pip install "plastic-gym[agents]"'
    ) from error

__all__ = [
    "AGENTS",
    "LEARNERS",
    "ActorCriticConfig",
    "Agent",
    "AgentSpec",
    "Callback",
    "LearnerConfig",
    "NetworkAgent",
    "PolicyAgent",
    "SupervisedConfig",
    "TaskVecEnv",
    "ThreeFactorConfig",
    "__version__",
    "load",
    "make",
    "register",
]
