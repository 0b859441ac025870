"""Scoring on a real Ray cluster: whatever dies, each row is scored once, and equal to the last digit.

This file is a step of its own (`make test-cluster`), because the cluster needs both cores.
"""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from oresight.tasks.config import Curate
from oresight.tasks.merge import merge
from oresight.tasks.runs.record import recorded
from tests.support.clustered import DOLLY, OPENING, ROWS, SHARD, configured, score, stored
from tests.support.environments import ROOT
from tests.support.poison import DEADLY
from tests.support.ray_cluster import LocalCluster, local_cluster
from tests.support.scored import ask

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'oresight[cluster]'")
LATE = f"{DEADLY} 4"
"""Its sample_id is high. The rows with the lowest ids are in the opening, which the head scores."""


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An S3 on loopback, which the environment names. It starts before the cluster, so that actors know it too."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= keys | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    import boto3

    boto3.client("s3").create_bucket(Bucket="shards")
    yield "s3://shards/ore"
    server.stop()


@pytest.fixture(scope="module")
def cluster(bucket: str) -> Iterator[LocalCluster]:
    with local_cluster(nodes=2) as running:
        yield running


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, stories: Path) -> list[list[tuple[Any, ...]]]:
    """What one process stores of the rows."""
    config = configured(tmp_path_factory.mktemp("one"), stories, DOLLY[:ROWS])
    score(config)
    return stored(config)


def meanwhile(strike: Callable[[], None]) -> threading.Thread:
    """Strike beside a run."""
    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    return thread


def no_task(_shard: Callable[[int], int]) -> Callable[[int], int]:
    raise AssertionError("a shard is no task of its own")


def test_a_killed_actor_is_replaced_and_the_numbers_are_those_of_one_process(
    cluster: LocalCluster, expected: Any, tmp_path: Path, stories: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = configured(tmp_path, stories, DOLLY[:ROWS], address=cluster.address)
    striking = meanwhile(lambda: os.kill(cluster.wait_for_scoring()[0], signal.SIGKILL))
    scored = score(config, as_task=no_task)
    striking.join(0)
    assert not striking.is_alive() and "an actor failed: ActorDiedError" in caplog.text
    assert (scored.scored, scored.unscorable) == (360, 0)
    assert stored(config) == expected
    assert list((tmp_path / "store").iterdir()) == [], "the files of a finished run are deleted"
    ((devices,),) = ask(config, "SELECT notes->'cluster_devices' FROM store.runs")
    shards = math.ceil((ROWS - OPENING) / SHARD)
    assert json.loads(devices) == {"cpu in float32": shards}


def test_the_store_can_be_on_s3(
    cluster: LocalCluster, bucket: str, expected: Any, tmp_path: Path, stories: Path
) -> None:
    import boto3

    config = configured(tmp_path, stories, DOLLY[:ROWS], address=cluster.address, store=bucket)
    assert score(config).scored == 360
    assert stored(config) == expected
    assert boto3.client("s3").list_objects_v2(Bucket="shards")["KeyCount"] == 0


def test_a_row_that_ends_its_actors_is_found_and_the_others_are_scored(
    cluster: LocalCluster, tmp_path: Path, stories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oresight.tasks.workload.cluster.STRIKES", 2)
    rows = [*DOLLY[: OPENING + 11], row_of(LATE)]
    config = configured(tmp_path, stories, rows, address=cluster.address, shard_rows=4)
    with connected(cluster):
        scored = score(config)
    assert (scored.scored, scored.unscorable) == (60 + OPENING + 11, 1)
    ((prompt, reason),) = ask(
        config, "SELECT prompt, reason FROM store.unscorable JOIN rows USING (sample_id) WHERE dataset = 'dolly'"
    )
    assert prompt == LATE
    assert reason == "cannot be scored: it ended the process that scored it 2 times"
    assert score(config).scored == 0, "it is not tried again"


def test_a_run_ends_if_its_actors_die_of_everything(
    cluster: LocalCluster, tmp_path: Path, stories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oresight.tasks.workload.cluster.STRIKES", 1)
    rows = [row_of(f"{DEADLY} {i}") for i in range(OPENING + 10)]
    config = configured(tmp_path, stories, rows, address=cluster.address, actors=1)
    with connected(cluster), pytest.raises(RuntimeError, match="actors failed 1 times one after the other, at last: "):
        score(config)
    assert ask(config, "SELECT count(*) FROM store.unscorable") == [(0,)], "no row is blamed"


def row_of(prompt: str) -> str:
    return json.dumps({"instruction": prompt, "input": "", "output": "Yes, it is."}) + "\n"


def test_without_a_cluster_nothing_is_computed(tmp_path: Path, stories: Path) -> None:
    for address in ("127.0.0.1:1", "nowhere.invalid:6379"):
        config = configured(tmp_path, stories, DOLLY[:OPENING], address=address)
        with pytest.raises(ValueError, match=f"cluster.address: no Ray cluster answers at {address}; start one"):
            score(config)
    assert ask(config, "SELECT count(*) FROM scores") == [(0,)]


@contextmanager
def connected(cluster: LocalCluster) -> Iterator[None]:
    """A connection under which actors die of a deadly row."""
    hook = {"worker_process_setup_hook": "tests.support.poison.install"}
    ray.init(address=cluster.address, runtime_env=hook, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def test_a_killed_head_leaves_results_that_merge_and_a_run_take_in_once_also_when_a_node_is_lost(
    cluster: LocalCluster, expected: Any, tmp_path: Path, stories: Path
) -> None:
    config = configured(tmp_path, stories, DOLLY[:ROWS], address=cluster.address)
    head = "import sys; from tests.support.clustered import score_until_killed as f; f(sys.argv[1], int(sys.argv[2]))"
    killed = subprocess.run([sys.executable, "-c", head, config.model_dump_json(), "3"], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    before = count_scores(config)
    shards, left = merged(config)
    after = count_scores(config)
    assert shards >= 1 and 0 < after - before <= shards * SHARD and left == 360 - after > SHARD
    assert merged(config) == (0, left), "a second time adds nothing"
    assert count_scores(config) == after

    striking = meanwhile(lambda: cluster.remove_node(cluster.wait_for_scoring()[1]))
    scored = score(config)
    striking.join(10)
    assert not striking.is_alive() and len(cluster.nodes) == 1
    assert scored.scored == left
    assert stored(config) == expected
    assert merged(config) == (0, 0)


def count_scores(config: Curate) -> int:
    ((count,),) = ask(config, "SELECT count(*) FROM store.scores")
    return int(count)


def merged(config: Curate) -> tuple[int, int]:
    """Shards that are merged, and rows that are left."""
    with recorded(config, "merge") as run:
        done = merge(run)
    return done.shards, done.left
