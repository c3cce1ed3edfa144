"""Explore an unseen graph by choosing where to go, then answer questions about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from plastic_envs.arguments import Range, check_size
from plastic_envs.episodes import Episodes
from plastic_envs.graph.measures import accuracy_by_kind
from plastic_envs.graph.moves import NEW, REVERSE, SEEN, neighbour_table
from plastic_envs.graph.policies import ExplorerPolicy
from plastic_envs.graph.walk import ACQUIRE, MOST_STEPS, PREDICT, GraphTask
from plastic_envs.policy import Policy
from plastic_envs.streams import RowStreams
from plastic_envs.task import rollout

__all__ = ["GraphExplore"]

_QUESTIONS, _START = 200, 201  # purposes of an episode's random streams


@dataclass(frozen=True, kw_only=True)
class GraphExplore(GraphTask):
    """Walk where you like on a random graph with labelled edges, then be asked about all of it.

    **Description.** A graph as in `GraphWalk`. First the agent explores: it names the label of the edge to
    take; where no edge at its node has that label it stays put. Then it is quizzed: keys (node, label) drawn
    uniformly from all those of the graph, to be answered with the node that they lead to. What it has
    explored decides what it can know, so a good explorer wastes no step on edges that it knows, in either
    direction.

    **Observation Space.** `Box(0, 1, (2 n + A + 2,), float32)`, as in `GraphWalk`:

    | index | meaning | range |
    |---|---|---|
    | 0 .. n-1 | node left, or asked about, one-hot; zeros in the first step | 0, 1 |
    | n .. n+A-1 | label tried, or asked about, one-hot; zeros in the first step | 0, 1 |
    | n+A .. 2n+A-1 | node where the walker is now, one-hot; zeros in predict steps | 0, 1 |
    | 2n+A .. 2n+A+1 | mode: (1, 0) predict, (0, 1) acquire | 0, 1 |

    **Action Space.** `Discrete(max(n, A))`: in acquire steps the label to take (A and above: stay), in
    predict steps the node.

    **Rewards.** 1 for the right node in a predict step, else 0.

    **Episode Structure.** `num_steps` acquire steps: the first shows where the walker starts (uniform), each
    later one what the last action did. So there are `num_steps` - 1 moves; the action of the last acquire
    step does nothing. Then `num_questions` predict steps. Steps have no duration in ms.

    `facts`: `labels` (B, 1, n, n) int8, -1 = no edge; `graph` (B, 1), place in the pool.
    `step_facts` (T, B), filled in as the episode is played: `node`, `action`, `next_node` of the move shown
    or asked for (-1, -1 and the start in the first step; -1 as `action` where the agent's action was no
    label), `move` (number of the move shown, -1 before the first; number of the question), `segment` (0),
    `degree` (edges at `node`), `key_kind` (of questions: 0 the move was made, 1 only its reverse, 2 neither;
    -1 in acquire steps).

    Args:
        labelling: As for `GraphWalk`, like the arguments not named here.
        num_nodes: n.
        num_actions: A, number of labels.
        edge_prob: p of G(n, p).
        num_steps: Nodes visited (counting those where the walker stayed put).
        num_questions: Number of predict steps.
        split: "train", "validation" or "test".
        num_graphs: None for fresh graphs, or the size of a pool.
        partition_seed: Seed of the partition of labels and of the pool.
        graph_generator: A networkx generator to use instead of G(n, p).
        permute_labels: Rename the labels at random in each episode.

    **Reference Scores.** `chance` = 1 / n. `oracle`: a table that explores what it does not know yet, by the
    nearest way, on copies of the episodes. `table_on_own_walk`: a table used in both directions given what
    the agent itself explored; no credit for guesses. An agent below it forgot; an oracle above it explored
    better.

    **Source.** Not published; the graphs are those of `GraphWalk`. A learned explorer was named there as a
    direction to take.

    **Version History.** v0: first version.
    """

    closed_loop = True
    info_facts = ("move",)

    num_steps: Annotated[int, Range(1, MOST_STEPS)] = 40
    num_questions: Annotated[int, Range(1, MOST_STEPS)] = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(action_space=spaces.Discrete(max(self.num_nodes, self.num_actions)))

    def _check_episode_size(self) -> None:
        check_size(
            (self.num_steps + self.num_questions) * (2 * self.num_nodes + self.num_actions + 40) * 4,
            num_steps=self.num_steps, num_questions=self.num_questions, num_nodes=self.num_nodes,
        )  # fmt: skip

    def generate(self, streams: RowStreams) -> Episodes:
        """Draw graphs, starts and questions; where the agent will have been is filled in by `advance`."""
        graphs, index = self.draw_graphs(streams)
        names = self.draw_permutations(streams)
        batch, rows = len(streams), np.arange(len(streams))
        if names is not None:
            graphs = np.where(graphs < 0, -1, names[rows[:, None, None, None], graphs]).astype(np.int8)
        labels = graphs[:, 0]
        degrees = (labels >= 0).sum(-1)
        node, action, answer = self._questions(labels, streams.spawn(_QUESTIONS))
        total = (self.num_steps + self.num_questions, batch)
        quiz, explore = slice(self.num_steps, None), slice(0, self.num_steps)
        facts = {
            name: np.full(total, -1, dtype=dtype)
            for name, dtype in {
                "node": np.int16, "action": np.int16, "next_node": np.int16, "degree": np.int16,
                "move": np.int32, "key_kind": np.int8,
            }.items()
        }  # fmt: skip
        facts["segment"] = np.zeros(total, dtype=np.int16)
        facts["next_node"][0] = start = streams.spawn(_START).integers(self.num_nodes)
        facts["node"][quiz], facts["action"][quiz], facts["next_node"][quiz] = node, action, answer
        facts["degree"][quiz] = degrees[rows, node]
        facts["move"][explore] = np.arange(-1, self.num_steps - 1)[:, None]
        facts["move"][quiz] = np.arange(self.num_questions)[:, None]
        facts["key_kind"][quiz] = NEW

        observations = np.zeros((*total, *self.observation_space.shape), dtype=np.float32)
        asking = np.arange(self.num_steps, total[0])
        self.write_one_hot(observations, np.zeros(1, dtype=np.int64), "reached", start[None])
        self.write_one_hot(observations, asking, "node", node)
        self.write_one_hot(observations, asking, "action", action)
        mode = self.field("mode").start
        observations[quiz, :, mode] = 1.0
        observations[explore, :, mode + 1] = 1.0
        is_question = np.zeros(total, dtype=bool)
        is_question[quiz] = True
        targets = np.full(total, -1)
        targets[quiz] = answer
        return Episodes(
            observations=observations,
            targets=targets,
            mask=is_question.astype(np.float32),
            periods=np.where(is_question, PREDICT, ACQUIRE).astype(np.int8),
            resets=np.zeros(total, dtype=bool),
            lengths=np.full(batch, total[0]),
            facts={"labels": graphs, "graph": index},
            step_facts=facts,
        )

    def _questions(
        self, labels: npt.NDArray[np.int8], streams: RowStreams
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Uniform (node, label) keys of each graph and the nodes they lead to, (num_questions, B) each."""
        table, degrees = neighbour_table(labels)
        rows = np.arange(len(labels))
        ends = np.cumsum(degrees, axis=1)  # keys are numbered node by node
        draw = streams.uniform(self.num_questions)
        key = np.minimum((draw * ends[:, -1:]).astype(np.int64), ends[:, -1:] - 1).T  # (Q, B)
        node = (key[:, :, None] >= ends).sum(-1)
        place = key - (ends - degrees)[rows, node]
        answer = table[rows, node, place]
        return node, labels[rows, node, answer].astype(np.int64), answer

    def advance(
        self,
        episodes: Episodes,
        steps: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        actions: npt.NDArray[Any],
    ) -> None:
        """Move the walkers: write what the actions at acquire steps lead to into the step after."""
        moving = steps < self.num_steps - 1
        if not moving.any():
            return
        steps, rows, actions = steps[moving], rows[moving], actions[moving].astype(np.int64)
        facts = episodes.step_facts
        x = facts["next_node"][steps, rows].astype(np.int64)
        # The node that the label leads to; nothing matches where there is no such edge, and the walker stays.
        leads = episodes.facts["labels"][rows, 0, x] == actions[:, None]  # (K, n)
        moved = leads.any(1)
        y = np.where(moved, leads.argmax(1), x)
        is_label = actions < self.num_actions
        now = (steps + 1, rows)
        facts["node"][now], facts["next_node"][now] = x, y
        facts["action"][now] = np.where(is_label, actions, -1)
        facts["degree"][now] = (episodes.facts["labels"][rows, 0, x] >= 0).sum(1)

        observations = np.zeros((len(rows), *self.observation_space.shape), dtype=np.float32)
        each = np.arange(len(rows))
        observations[each, self.field("node").start + x] = 1.0
        observations[each[is_label], self.field("action").start + actions[is_label]] = 1.0
        observations[each, self.field("reached").start + y] = 1.0
        observations[:, self.field("mode").start + 1] = 1.0
        episodes.observations[now] = observations

        # What the questions ask about is now seen, or its reverse is. (Questions name labels that exist, so a
        # walker that stayed put answers none.)
        asked_node, asked_action = (
            facts["node"][self.num_steps :, rows],
            facts["action"][self.num_steps :, rows],
        )
        kinds = facts["key_kind"][self.num_steps :, rows]
        same = asked_action == actions
        kinds[same & (asked_node == y) & (kinds == NEW)] = REVERSE
        kinds[same & (asked_node == x)] = SEEN
        facts["key_kind"][self.num_steps :, rows] = kinds

    # ---- scores ------------------------------------------------------------------------------------

    def known_shares(self, episodes: Episodes) -> npt.NDArray[np.float64]:
        """Share (B,) of the edges of each episode's graph that the agent had walked after exploring."""
        labels = episodes.facts["labels"][:, 0]
        node, reached = (episodes.step_facts[name][1 : self.num_steps] for name in ("node", "next_node"))
        walked = np.zeros(labels.shape, dtype=bool)
        step, row = np.nonzero((node >= 0) & (node != reached))
        x, y = node[step, row], reached[step, row]
        walked[row, x, y] = walked[row, y, x] = True
        return np.asarray(walked.sum((1, 2)) / (labels >= 0).sum((1, 2)))

    def metrics(self, episodes: Episodes, actions: npt.NDArray[Any]) -> dict[str, float]:
        """As for all graph tasks, and `share_keys_known`: of the graph's keys, in either direction."""
        return {
            **super().metrics(episodes, actions),
            "share_keys_known": float(self.known_shares(episodes).mean()),
        }

    def reference_scores(self, episodes: Episodes) -> dict[str, float]:
        """`chance`, `oracle` (an explorer on copies of the episodes), `table_on_own_walk`, and shares."""
        fresh = self.unplayed(episodes)
        metrics = self.metrics(fresh, rollout(self, self.oracle_policy(), fresh))
        is_question = episodes.mask > 0
        kinds = episodes.step_facts["key_kind"]
        by_kind = accuracy_by_kind(found_keys := (kinds == SEEN) | (kinds == REVERSE), kinds, is_question)
        return {
            "chance": self.chance,
            "oracle": metrics["score"],
            "oracle_share_keys_known": metrics["share_keys_known"],
            "table_on_own_walk": float(found_keys[is_question].mean()),
            **{name: value for name, value in by_kind.items() if name.startswith("share_")},
        }

    def oracle_policy(self) -> Policy:
        """A table that walks to the nearest label it has not tried, and answers from both directions."""
        return ExplorerPolicy(self)
