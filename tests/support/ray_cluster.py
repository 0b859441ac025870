"""A Ray cluster on this machine: a head without CPUs, and nodes with one CPU each."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.environments import ROOT

STARTS = 3
"""A raylet ends itself if its agents are not there after 15 s, which happens on a busy machine (ray #65983)."""


@dataclass
class LocalCluster:
    """A running cluster."""

    cluster: Any
    nodes: list[Any]

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def wait_for_scoring(self) -> tuple[int, Any]:
        """Wait until a process scores a shard. Returns its id and its node."""
        while True:
            raylets = {node.all_processes["raylet"][0].process.pid: node for node in self.nodes}
            for pid, title, parent in _processes():
                if title == "ray::Scorer.score" and parent in raylets:
                    return pid, raylets[parent]
            time.sleep(0.01)

    def remove_node(self, node: Any) -> None:
        """End a node with all of its processes."""
        self.nodes.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)


def _processes() -> Iterator[tuple[int, str, int]]:
    """Id, title and parent of all processes."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace").strip()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
        yield int(folder.name), title, parent


@contextmanager
def local_cluster(nodes: int) -> Iterator[LocalCluster]:
    """Start a cluster, and end it. Its processes inherit the environment, and can import the tests."""
    from ray.cluster_utils import Cluster

    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    for start in range(STARTS):
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            added = [cluster.add_node(num_cpus=1) for _ in range(nodes)]
            cluster.wait_for_nodes()
            break
        except Exception:  # Ray says in many ways that a node did not start
            cluster.shutdown()
            if start == STARTS - 1:
                raise
            time.sleep(2)
    try:
        yield LocalCluster(cluster, added)
    finally:
        cluster.shutdown()
