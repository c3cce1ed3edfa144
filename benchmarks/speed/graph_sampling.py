"""Speed of drawing labelled graphs: `GraphSampler` beside the published generator written out plainly.

    python -m benchmarks.speed.graph_sampling [--seconds 5]

`PlainGenerator` is the published procedure to the letter (networkx candidates one at a time), readable and
slow. It also serves the tests as the reference for the law of the graphs.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass, field
from itertools import combinations

import networkx as nx
import numpy as np

from plastic_envs.graph.sampling import MAX_ATTEMPTS, GraphSampler
from plastic_envs.streams import RowStreams


@dataclass
class PlainGenerator:
    """Rejection sampling of labelled graphs, one networkx candidate at a time.

    Attributes:
        num_nodes: n.
        num_actions: A.
        edge_prob: p.
        labelling: "disjoint" or "standard".
        split: "train" or "test".
        seed: Seed of all random numbers.
    """

    num_nodes: int
    num_actions: int
    edge_prob: float
    labelling: str
    split: str
    seed: int = 0
    sets: dict[tuple[int, int], list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self.sets = {}
        cut = self.num_actions // 2
        for pair in combinations(range(self.num_nodes), 2):
            order = self._rng.sample(range(self.num_actions), self.num_actions)
            self.sets[pair] = order[:cut] if self.split == "train" else order[cut:]

    def draw(self) -> nx.Graph:
        """One graph whose edges have the attribute `label`."""
        for _ in range(MAX_ATTEMPTS):
            graph = nx.gnp_random_graph(self.num_nodes, self.edge_prob, seed=self._rng.randrange(2**31))
            if graph.number_of_edges() == 0 or not nx.is_connected(graph) or not self._degrees_fit(graph):
                continue
            if self._label_greedily(graph) if self.labelling == "disjoint" else self._label_by_repair(graph):
                return graph
        raise ValueError(f"no legal graph in {MAX_ATTEMPTS} candidates for split {self.split!r}.")

    def _degrees_fit(self, graph: nx.Graph) -> bool:
        largest: int = max(degree for _, degree in graph.degree)
        if self.labelling == "disjoint":
            return largest <= len(self.sets[0, 1])
        return self.num_actions >= largest + (0 if nx.is_bipartite(graph) else 1)

    def _label_greedily(self, graph: nx.Graph) -> bool:
        labels: list[set[int]] = [set() for _ in graph]
        for u, v in sorted(graph.edges, key=lambda e: -max(graph.degree[e[0]], graph.degree[e[1]])):
            free = [a for a in self.sets[u, v] if a not in labels[u] and a not in labels[v]]
            if not free:
                return False
            graph.edges[u, v]["label"] = label = self._rng.choice(free)
            labels[u].add(label)
            labels[v].add(label)
        return True

    def _label_by_repair(self, graph: nx.Graph) -> bool:
        for edge in graph.edges:
            graph.edges[edge]["label"] = self._rng.randrange(self.num_actions)
        for _ in range(10 * graph.number_of_edges()):
            if sum(self._repair(graph, node) for node in graph) == 0:
                break
        return all(len({graph.edges[u, v]["label"] for v in graph[u]}) == graph.degree[u] for u in graph)

    def _repair(self, graph: nx.Graph, node: int) -> bool:
        groups: dict[int, list[tuple[int, int]]] = {}
        for other in graph[node]:
            groups.setdefault(graph.edges[node, other]["label"], []).append((node, other))
        labels: set[int] = set()
        changed = False
        for label, edges in groups.items():
            labels.add(label)
            for edge in edges[1:]:
                free = [a for a in range(self.num_actions) if a not in labels]
                graph.edges[edge]["label"] = new = self._rng.choice(free or range(self.num_actions))
                labels.add(new)
                changed = True
        return changed


SETTINGS = (
    (8, 10, 0.1, "disjoint", "train", 4096),
    (8, 10, 0.1, "disjoint", "test", 4096),
    (8, 10, 0.1, "standard", "train", 4096),
    (50, 15, 0.1, "disjoint", "train", 256),
    (50, 15, 0.1, "disjoint", "test", 1024),
    (50, 15, 0.1, "standard", "train", 1024),
)


def plain_rate(
    num_nodes: int, num_actions: int, edge_prob: float, labelling: str, split: str, seconds: float
) -> float:
    """Graphs per CPU second of the plain generator, over at least `seconds` and three graphs."""
    generator = PlainGenerator(num_nodes, num_actions, edge_prob, labelling, split)
    start, count = time.process_time(), 0
    while (spent := time.process_time() - start) < seconds or count < 3:
        generator.draw()
        count += 1
    return count / spent


def sampler_rate(
    num_nodes: int, num_actions: int, edge_prob: float, labelling: str, split: str, batch: int, seconds: float
) -> tuple[float, float]:
    """Graphs per CPU second in batches of `batch`, and CPU seconds for a batch of one."""
    sampler = GraphSampler(num_nodes, num_actions, edge_prob, labelling, split)

    def spend(size: int) -> float:
        start, calls = time.process_time(), 0
        while (spent := time.process_time() - start) < seconds:
            sampler.sample(RowStreams(np.arange(calls * size, (calls + 1) * size, dtype=np.uint64)))
            calls += 1
        return spent / calls

    spend(batch)  # warm up
    return batch / spend(batch), spend(1)


def main() -> None:
    """Print a table of rates."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="CPU seconds per measurement (default 5)")
    seconds = parser.parse_args().seconds
    print(
        f"{'nodes':>5} {'labels':>6} {'labelling':>9} {'split':>6} "
        f"{'networkx/s':>11} {'sampler/s':>10} {'ratio':>7} {'one':>8}"
    )
    for n, labels, edge_prob, labelling, split, batch in SETTINGS:
        law = (n, labels, edge_prob, labelling, split)
        plain = plain_rate(*law, seconds)
        fast, one = sampler_rate(*law, batch, seconds / 2)
        print(
            f"{n:5} {labels:6} {labelling:>9} {split:>6} "
            f"{plain:11.1f} {fast:10.0f} {fast / plain:7.0f} {one * 1e3:6.2f}ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
