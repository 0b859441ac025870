import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import oresight.flows  # noqa: F401  Prefect is quiet from here on
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.source import find
from tests.support.curated import Curated
from tests.support.server import Server

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start; two files are tested at a time
torch.set_num_threads(1)
SHARED = Path(__file__).parents[2] / "shared" / "data"
LONGEST = ("test_server.py", "test_postgres.py", "test_settle.py", "test_planted.py")
"""Files that are begun first, so that no worker is left with one at the end."""


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


@pytest.fixture(scope="session")
def smollm() -> Loaded:
    return load(find("smollm2-135m-instruct"), device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Curated, Path]:
    """The VQA demo, curated by the command, and a copy of its folder."""
    done = Curated(tmp_path_factory.mktemp("curated"))
    done.oresight("curate", *done.arguments)
    return done, shutil.copytree(done.folder, tmp_path_factory.mktemp("kept") / "copy", symlinks=True)


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
def curated(once: tuple[Curated, Path]) -> Curated:
    """The VQA demo, curated; each file of tests finds it as it was, and may change it."""
    done, copy = once
    shutil.rmtree(done.folder)
    shutil.copytree(copy, done.folder, symlinks=True)
    return done
