"""Predict the next node of a walk on a graph that was never seen before."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from plastic_envs.arguments import Range, Seed, Share, Split, Words, check_fields, check_size
from plastic_envs.episodes import Association, Episodes, Field
from plastic_envs.graph.measures import accuracy_by_kind
from plastic_envs.graph.moves import NOT_ASKED, Walk, key_kinds, random_walk
from plastic_envs.graph.policies import TablePolicy
from plastic_envs.graph.reference_scores import reference_scores
from plastic_envs.graph.sampling import (
    LABELLINGS,
    EdgeProbability,
    GraphGenerator,
    GraphSampler,
    NumLabels,
    NumNodes,
)
from plastic_envs.policy import Policy
from plastic_envs.streams import RowStreams
from plastic_envs.task import Task

__all__ = ["MODES", "WALKS", "GraphTask", "GraphWalk"]

MODES = ("interleaved", "predict", "acquire")
WALKS = ("uniform", "biased")
MOST_STEPS = 100_000  # of an episode; more would take minutes to draw
PoolSize = Annotated[int, Range(1, 100_000)]

ACQUIRE, PREDICT = 0, 1  # indices into GraphTask.periods

_IDEAL_NODES = 12  # largest graphs on which the ideal observer is run unasked

# Purposes of an episode's random streams.
_GRAPHS, _WALK, _PREFERENCES, _PERMUTATION, _POOL = 0, 100, 101, 102, 103


@dataclass(frozen=True, kw_only=True)
class GraphTask(Task):
    """Base of the tasks on random labelled graphs: graphs, observations, scores.

    See `GraphWalk` for the arguments.
    """

    periods = ("acquire", "predict")
    pictures = "plastic_envs.graph.render:graph"
    association = Association(cue=("node", "action"), outcome="reached")

    labelling: Annotated[str, Words(LABELLINGS)] = "disjoint"
    num_nodes: NumNodes = 8
    num_actions: NumLabels = 10
    edge_prob: EdgeProbability = 0.1
    split: Split = "train"
    num_graphs: PoolSize | None = None
    partition_seed: Seed = 0
    graph_generator: GraphGenerator = None
    permute_labels: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        nodes, labels = self.num_nodes, self.num_actions
        if self.num_graphs is not None:
            check_size(self.num_graphs * nodes**2, "the pool", num_graphs=self.num_graphs, num_nodes=nodes)
        self._check_episode_size()
        _ = self.sampler  # refuses what no graph can be drawn for
        self._set(
            fields=(
                Field("node", 0, nodes, "node"),
                Field("action", nodes, labels, "label"),
                Field("reached", nodes + labels, nodes, "node"),
                Field("mode", 2 * nodes + labels, 2),
            ),
            observation_space=spaces.Box(0.0, 1.0, (2 * nodes + labels + 2,), np.float32),
            action_space=spaces.Discrete(nodes),
            chance=1.0 / nodes,
        )

    @abstractmethod
    def _check_episode_size(self) -> None:
        """Refuse episodes that are too long, or take too much memory."""

    @cached_property
    def sampler(self) -> GraphSampler:
        """Draws the graphs."""
        return GraphSampler(
            self.num_nodes, self.num_actions, self.edge_prob, self.labelling, self.split, self.partition_seed,
            self.graph_generator,
        )  # fmt: skip

    # ---- graphs ------------------------------------------------------------------------------------

    def pool(self) -> npt.NDArray[np.int8]:
        """The task's graphs, label matrices (num_graphs, n, n); graph i depends on partition_seed, split, i.

        Raises:
            ValueError: If the task draws a fresh graph for every episode.
        """
        if self.num_graphs is None:
            raise ValueError(
                "num_graphs=None: there is no pool, every episode has a fresh graph; pass num_graphs."
            )
        return self._pool

    @cached_property
    def _pool(self) -> npt.NDArray[np.int8]:
        count = self.num_graphs or 0
        seeds = RowStreams(np.full(count, self.partition_seed, dtype=np.uint64))
        return self.sampler.sample(self.split_streams(seeds, 1).spawn(np.arange(count)))

    def draw_graphs(
        self, streams: RowStreams, count: int = 1
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
        """Graphs of episodes.

        Args:
            streams: One stream per episode.
            count: Graphs per episode.

        Returns:
            Label matrices (B, count, n, n), and their places in the pool (B, count), -1 where there is no
            pool.
        """
        if self.num_graphs is not None:
            index = streams.spawn(_POOL).integers(self.num_graphs, count)
            return self.pool()[index], index
        mine = self.split_streams(streams, _GRAPHS)
        each = RowStreams(np.stack([mine.spawn(i).seeds for i in range(count)], axis=1).ravel())
        graphs = self.sampler.sample(each).reshape(len(streams), count, self.num_nodes, self.num_nodes)
        return graphs, np.full((len(streams), count), -1)

    def draw_permutations(self, streams: RowStreams) -> npt.NDArray[np.int64] | None:
        """The new name of each label, (B, A), or None without `permute_labels`."""
        if not self.permute_labels:
            return None
        return np.argsort(streams.spawn(_PERMUTATION).uniform(self.num_actions), axis=1)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_pool"}  # made where needed

    # ---- the same task otherwise -------------------------------------------------------------------

    def probes(self) -> dict[str, Task]:
        """The task with labels permuted in every episode (or no longer so), and that on train graphs."""
        other = "labels_as_drawn" if self.permute_labels else "labels_permuted"
        probes: dict[str, Task] = {other: self.remake(permute_labels=not self.permute_labels)}
        if self.split != "train":
            probes["train_split"] = self.remake(split="train")
        return probes

    # ---- scores and pictures -----------------------------------------------------------------------

    def metrics(self, episodes: Episodes, actions: npt.NDArray[Any]) -> dict[str, float]:
        """Accuracy (`score`), also by kind of key, with the share of each.

        Raises:
            ValueError: If nothing is asked in these episodes, so that there is no score.
        """
        counts = episodes.mask > 0
        if not counts.any():
            raise ValueError(
                "nothing is asked in these episodes (mode='acquire' shows moves only), so there is no score; "
                "take mode='interleaved' or 'predict' to train or score an agent."
            )
        correct = episodes.targets == actions
        return {
            "score": float(correct[counts].mean()),
            **accuracy_by_kind(correct, episodes.step_facts["key_kind"], counts),
        }

    @abstractmethod
    def oracle_policy(self) -> Policy:
        """The observer whose score is the task's oracle."""

    # ---- arrays ------------------------------------------------------------------------------------

    def write_one_hot(
        self,
        observations: npt.NDArray[np.float32],
        steps: npt.NDArray[np.integer[Any]],
        name: str,
        values: npt.NDArray[np.integer[Any]],
    ) -> None:
        """Show `values` (K, B) in the field `name` of the observations (T, B, O) at `steps` (K,)."""
        _, batch, size = observations.shape
        at = (steps[:, None] * batch + np.arange(batch)) * size + self.field(name).start
        observations.reshape(-1)[at + values] = 1.0


@dataclass(frozen=True, kw_only=True)
class GraphWalk(GraphTask):
    """Predict the next node of a walk on a random graph with labelled edges.

    **Description.** A graph is drawn for the episode: connected, undirected, every edge with one label, all
    labels at a node different, so that (node, label) determines the node at the other end. A walker goes from
    node to node. At every predict step the agent is shown where the walker is and which label it is about to
    take, and names the node that it will reach. It can know this only if it has seen the edge before, in this
    very episode, in either direction: graphs of the test split pair nodes with labels that never occur
    together in the train split (`labelling="disjoint"`). What training can give is a way of learning.

    **Observation Space.** `Box(0, 1, (2 n + A + 2,), float32)`, n nodes and A labels:

    | index | meaning | range |
    |---|---|---|
    | 0 .. n-1 | node that the walker leaves, one-hot | 0, 1 |
    | n .. n+A-1 | label of the edge that it takes, one-hot | 0, 1 |
    | n+A .. 2n+A-1 | node that it reached, one-hot; zeros in predict steps | 0, 1 |
    | 2n+A .. 2n+A+1 | mode: (1, 0) predict, (0, 1) acquire | 0, 1 |

    **Action Space.** `Discrete(n)`: the predicted node. Actions in acquire steps are not used.

    **Rewards.** 1 for the right node in a predict step, else 0.

    **Episode Structure.** `num_steps` nodes are visited on each of `num_segments` graphs in turn, `num_steps`
    - 1 moves each; the walker enters the next graph at the node where it stands, unannounced. With M moves in
    all (steps have no duration in ms):

    * `mode="interleaved"`: 2 M - 1 steps: predict move 0, acquire it, predict move 1, ... The last move is
      not shown completed, as nothing is asked after it. This is what the published network does internally.
    * `mode="predict"`: M predict steps; a completed move has to be put together from two observations in a
      row.
    * `mode="acquire"`: M steps that show completed moves. Nothing is asked: all weights are 0 and targets -1.

    `facts`: `labels` (B, S, n, n) int8, the label of every edge at the start of each segment, -1 = no edge;
    `graph` (B, S), places in the pool. `step_facts` (T, B), about the move that the step shows: `node`,
    `action`, `next_node`, `move` (its number in the episode), `segment`, `degree` (edges at the node left),
    `key_kind` (0 the same move was made before in this segment, 1 only its reverse, 2 neither, -1 in acquire
    steps).

    Args:
        labelling: "disjoint": each pair of nodes has its labels parted into a train and a test set, so that
            no (node, label, node) occurs in both; "standard": any label anywhere.
        num_nodes: n.
        num_actions: A, number of labels, at most 64.
        edge_prob: p of the random graph G(n, p) that candidates are drawn from.
        num_steps: T, nodes visited on each graph.
        mode: "interleaved", "predict" or "acquire".
        split: "train", "validation" (train's label sets, other graphs) or "test".
        num_graphs: None: a fresh graph every time; N: a pool of N graphs, from which each episode picks
            uniformly.
        partition_seed: Seed of the partition of labels and of the pool; the same for train and test.
        graph_generator: A networkx generator to use instead of G(n, p): its name, or (name, keyword
            arguments).
        walk: "uniform": all neighbours are equally likely next; "biased": they are so with probability
            softmax(walk_bias z), z a standard normal preference of each (node, label) drawn per episode.
        walk_bias: Strength of that preference.
        label_drift: Probability, after each move, that one random edge gets another legal label.
        num_segments: Graphs per episode.
        permute_labels: Rename the labels by a random permutation in each episode, so that nothing learned
            about particular labels helps or hurts.

    **Reference Scores.** `chance` = 1 / n. `oracle`: a table of the moves seen, used in both directions, that
    guesses unvisited nodes first for unknown keys; within 0.001 of the ideal observer (0.95 for the
    defaults). `reference_scores` gives the published six rates and the ideal observer on the very walks that
    are scored.

    **Source.** The online-adaptation task on labelled graphs of the published graph-walk benchmark: same law
    of graphs, labels and walks (`plastic_envs.graph.sampling`; as published, with an odd number of labels the
    test split has one more per pair than train, hence a looser degree bound). Different on purpose: the
    acquisitions are steps of their own, the last one is left out; graphs are fresh in each episode unless
    `num_graphs` is given; `validation`, walks with preferences, drift, unannounced switches and permuted
    labels are new.

    **Version History.** v0: first version.
    """

    info_facts = ("move", "segment")

    num_steps: Annotated[int, Range(2, MOST_STEPS)] = 100
    mode: Annotated[str, Words(MODES)] = "interleaved"
    walk: Annotated[str, Words(WALKS)] = "uniform"
    walk_bias: Annotated[float, Range(-1000, 1000)] = 1.0
    label_drift: Share = 0.0
    num_segments: Annotated[int, Range(1, MOST_STEPS)] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode == "predict":
            self._set(association=replace(self.association, chained=True))

    def _check_episode_size(self) -> None:
        if self.num_moves > MOST_STEPS:
            raise ValueError(
                f"num_steps={self.num_steps}, num_segments={self.num_segments}: an episode of "
                f"{self.num_moves} moves; expected at most {MOST_STEPS}, which take seconds to draw."
            )
        check_size(
            2 * self.num_moves * (2 * self.num_nodes + self.num_actions + 40) * 4, num_steps=self.num_steps,
            num_segments=self.num_segments, num_nodes=self.num_nodes,
        )  # fmt: skip

    @property
    def num_moves(self) -> int:
        """M, moves of an episode."""
        return self.num_segments * (self.num_steps - 1)

    def generate(self, streams: RowStreams) -> Episodes:
        """Draw graphs and a walk per stream and lay them out as steps."""
        graphs, index = self.draw_graphs(streams, self.num_segments)
        walk = self._walk(graphs, streams)
        names = self.draw_permutations(streams)
        if names is not None:
            rows = np.arange(len(streams))
            walk = Walk(walk.nodes, names[rows, walk.actions], walk.next_nodes, walk.degrees, walk.segments)
            graphs = np.where(graphs < 0, -1, names[rows[:, None, None, None], graphs]).astype(np.int8)
        return self._lay_out(walk, {"labels": graphs, "graph": index})

    def _walk(self, graphs: npt.NDArray[np.int8], streams: RowStreams) -> Walk:
        preferences = None
        if self.walk == "biased":
            normal = streams.spawn(_PREFERENCES).normal(self.num_nodes, self.num_actions)
            weights = self.walk_bias * normal
            preferences = np.exp(weights - weights.max(-1, keepdims=True))
        sampler = self.sampler
        return random_walk(
            graphs,
            self.num_steps - 1,
            streams.spawn(_WALK),
            sampler.sets,
            sampler.ends,
            preferences,
            self.label_drift,
        )

    def _lay_out(self, walk: Walk, facts: dict[str, npt.NDArray[Any]]) -> Episodes:
        """Moves (M, B) as steps (T, B)."""
        num_moves, batch = walk.nodes.shape
        # The steps that ask for each move and those that show it, the move of each step, and whether a step
        # asks.
        both = self.mode == "interleaved"
        move = np.arange(2 * num_moves - 1) // 2 if both else np.arange(num_moves)
        asks = np.arange(len(move)) % 2 == 0 if both else np.full(num_moves, self.mode == "predict")
        asking, showing = np.flatnonzero(asks), np.flatnonzero(~asks)
        total = (len(move), batch)
        observations = np.zeros((*total, *self.observation_space.shape), dtype=np.float32)
        for steps in (asking, showing):
            self.write_one_hot(observations, steps, "node", walk.nodes[: len(steps)])
            self.write_one_hot(observations, steps, "action", walk.actions[: len(steps)])
        self.write_one_hot(observations, showing, "reached", walk.next_nodes[: len(showing)])
        bits = self.field("mode").start
        observations[asking, :, bits] = 1.0
        observations[showing, :, bits + 1] = 1.0
        targets = np.full(total, -1)
        targets[asking] = walk.next_nodes[: len(asking)]
        kinds = np.full(total, NOT_ASKED, dtype=np.int8)
        if len(asking):
            kinds[asking] = key_kinds(walk, self.num_nodes, self.num_actions)
        segment = walk.segments[move].astype(np.int16)
        return Episodes(
            observations=observations,
            targets=targets,
            mask=np.repeat(asks.astype(np.float32)[:, None], batch, axis=1),
            periods=np.repeat(np.where(asks, PREDICT, ACQUIRE).astype(np.int8)[:, None], batch, axis=1),
            resets=np.zeros(total, dtype=bool),
            lengths=np.full(batch, total[0]),
            facts=facts,
            step_facts={
                "node": walk.nodes.astype(np.int16)[move],
                "action": walk.actions.astype(np.int16)[move],
                "next_node": walk.next_nodes.astype(np.int16)[move],
                "move": np.repeat(move.astype(np.int32)[:, None], batch, axis=1),
                "segment": np.repeat(segment[:, None], batch, axis=1),
                "degree": walk.degrees.astype(np.int16)[move],
                "key_kind": kinds,
            },
        )

    def moves(self, episodes: Episodes) -> dict[str, npt.NDArray[np.integer[Any]]]:
        """The `step_facts` of the walk's moves in order, one row per move: (M, B) each."""
        steps = slice(None, None, 2 if self.mode == "interleaved" else 1)
        return {name: values[steps] for name, values in episodes.step_facts.items()}

    def reference_scores(
        self, episodes: Episodes, ideal_walks: int | None = None, rng: np.random.Generator | None = None
    ) -> dict[str, float]:
        """Scores of named observers on these very walks: `chance`, `oracle`, the published six, and others.

        Args:
            episodes: The episodes.
            ideal_walks: On how many of the walks the ideal observer is run too. None: on all of them where it
                takes milliseconds a walk (at most 12 nodes) and its assumptions hold (G(n, p), uniform walks,
                no drift), on none elsewhere.
            rng: What it samples with; by default always the same numbers, so that equal episodes get equal
                scores.
        """
        if ideal_walks is None:
            assumed = self.graph_generator is None and self.walk == "uniform" and self.label_drift == 0.0
            cheap = self.num_nodes <= _IDEAL_NODES and self.mode != "acquire"
            ideal_walks = episodes.batch_size if assumed and cheap else 0
        if rng is None:
            rng = np.random.default_rng(0)
        moves = self.moves(episodes)
        scores: Mapping[str, float] = reference_scores(
            moves["node"], moves["action"], moves["next_node"], moves["degree"], moves["segment"],
            num_nodes=self.num_nodes, num_actions=self.num_actions, edge_prob=self.edge_prob,
            max_degree=self.sampler.max_degree, ideal_walks=ideal_walks, rng=rng,
        )  # fmt: skip
        return {**scores, "chance": self.chance}

    def oracle_policy(self) -> Policy:
        """A table of the moves seen, used in both directions, that guesses unvisited nodes first."""
        return TablePolicy(self, forgets_at_contradiction=self.label_drift == 0.0)
