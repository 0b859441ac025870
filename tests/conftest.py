import gc

gc.disable()  # until all tests are collected: nothing that imports make is garbage

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import torch

import oresight.flows  # noqa: F401  configures Prefect before it is imported
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.source import find
from tests.support.curated import Curated
from tests.support.server import Server
from tests.support.store import Store, new_store

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for processes that tests start; three test files run at a time
torch.set_num_threads(1)
SHARED = Path(__file__).parents[2] / "shared" / "data"
LONGEST = (
    "test_server_faults.py",
    "test_server.py",
    "test_settle.py",
    "test_postgres.py",
    "test_bombs.py",
    "test_trials.py",
    "test_crash.py",
    "test_detector.py",
    "test_exchange.py",
    "test_evaluate.py",
    "test_faults.py",
    "test_exact.py",
    "test_checking.py",
    "test_readme.py",
    "test_influence.py",
    "test_review.py",
    "test_trust.py",
)
"""Slow files that start first, so that no worker runs one of them alone at the end."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What the imports made lives as long as the process, so that collections need not walk through it."""
    result = yield
    gc.freeze()
    gc.enable()
    return result


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("shared/data is not beside the project")
    return SHARED


@pytest.fixture(scope="session")
def stories(shared: Path) -> Path:
    return shared / "stories260k"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A database with a dataset `raw` and a reference `trusted`, both empty."""
    return new_store(str(tmp_path / "oresight.duckdb"))


@pytest.fixture(scope="session")
def smollm() -> Loaded:
    return load(find("smollm2-135m-instruct"), device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def curated_and_copy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Curated, Path]:
    """The VQA demo, curated by the command, and a copy of its folder."""
    demo = Curated(tmp_path_factory.mktemp("curated"))
    demo.oresight("curate", *demo.arguments)
    return demo, shutil.copytree(demo.folder, tmp_path_factory.mktemp("original") / "copy", symlinks=True)


@pytest.fixture(scope="session")
def bare_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server in the environment of `make serve`, with nothing deployed and no worker."""
    server = Server(tmp_path_factory.mktemp("bare-server"))
    try:
        server.start_server()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def curated(curated_and_copy: tuple[Curated, Path]) -> Curated:
    """The curated VQA demo. Each test file gets it in its original state, and may change it."""
    demo, copy = curated_and_copy
    shutil.rmtree(demo.folder)
    shutil.copytree(copy, demo.folder, symlinks=True)
    return demo


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server with our deployments, a worker and a secret."""
    server = Server(tmp_path_factory.mktemp("server"))
    try:
        server.start()
        server.keep_secret()
        yield server
    finally:
        server.stop()
