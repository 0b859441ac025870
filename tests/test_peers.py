"""Peers: what is usual for rows that ask the same."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from oresight.tasks.detection.detector import detect
from oresight.tasks.detection.inputs import SignalTable
from oresight.tasks.detection.peers import MOST, NEAREST, Peers, with_peers


def states(topic_N: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.float32]:
    """States before the answer, near each other within a topic."""
    return (np.eye(3)[topic_N] + draw.normal(0, 0.05, (len(topic_N), 3))).astype(np.float32)


def test_no_row_is_its_own_peer_and_no_canary_its_twins() -> None:
    draw = np.random.default_rng(0)
    rows, trusted = states(draw.integers(3, size=40), draw), states(draw.integers(3, size=20), draw)
    twins = np.arange(20)
    peers = Peers.of(rows, trusted, trusted[twins], twins)
    rows_NK, trusted_RK = peers.of_rows(slice(None)), peers.of_trusted()
    assert rows_NK.shape == (40, NEAREST)
    assert not (rows_NK == np.arange(40)[:, None]).any()
    assert not (trusted_RK == 40 + np.arange(20)[:, None]).any()
    assert (np.sort(peers.of_canaries()) == np.sort(trusted_RK)).all()  # they ask the same
    assert (peers.of_rows(slice(30, 35)) == rows_NK[30:35]).all()


def test_peers_ask_the_same_also_where_only_some_rows_can_be_peers() -> None:
    draw = np.random.default_rng(1)
    topic = draw.integers(3, size=3 * MOST)
    rows, trusted_topic = states(topic, draw), draw.integers(3, size=30)
    peers = Peers.of(rows, states(trusted_topic, draw), np.empty((0, 3), np.float32), np.empty(0, np.int64))
    pool_topic = np.concatenate([topic[peers.rows], trusted_topic[peers.trusted]])
    assert len(pool_topic) <= MOST + 30
    assert (pool_topic[peers.of_rows(slice(None))] == topic[:, None]).all()
    assert (pool_topic[peers.of_trusted()] == trusted_topic[:, None]).all()
    own = peers.of_rows(slice(3, 4))  # this row is in the pool
    assert not (peers.rows[own[own < len(peers.rows)]] == 3).any()


def test_signals_are_compared_with_the_median_of_the_peers() -> None:
    pool = np.array([[1.0], [5.0], [3.0]])
    assert with_peers(pool[:2], np.array([[1, 2], [0, 2]]), pool).tolist() == [[1.0, 1.0 - 4.0], [5.0, 5.0 - 2.0]]
    assert with_peers(np.empty((0, 1)), np.empty((0, 2), np.int64), pool).shape == (0, 2)


def test_a_wrong_row_of_an_easy_topic_is_more_suspicious_than_a_right_row_of_a_hard_one() -> None:
    draw = np.random.default_rng(2)
    rows_topic, trusted_topic, twins = draw.integers(3, size=300), np.arange(90) % 3, np.arange(90)
    is_bad = np.arange(300) < 30
    usual = np.array([0.0, 3.0, 6.0])  # what the topic does to the loss; a wrong answer adds 4
    loss_N = usual[rows_topic] + draw.normal(0, 1, 300) + 4 * is_bad
    loss_R = usual[trusted_topic] + draw.normal(0, 1, 90)
    loss_C = usual[trusted_topic] + draw.normal(0, 1, 90) + 4
    without = SignalTable(["nll"], loss_N[:, None], loss_R[:, None], loss_C[:, None], ["swapped"] * 90, twins)
    state_R = states(trusted_topic, draw)
    beside = replace(without, peers=Peers.of(states(rows_topic, draw), state_R, state_R[twins], twins))
    aucs = []
    for table in (without, beside):
        judged = detect(table)
        assert judged is not None
        aucs.append(roc_auc_score(is_bad, judged.suspicion_N))
        assert judged.top_signals_N2[0].tolist() == [0, -1]
    assert aucs[0] < 0.87
    assert aucs[1] > 0.96
