"""What is installed is importable as `oresight` and below, and hides nothing that a user has."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = """
import sys
import oresight, tasks, flows, sql
from oresight.flows.curate import curate
from oresight.tasks.scoring.formula import Head
import oresight.tasks.database

assert all(Path(module.__file__).parent.parent == Path.cwd() for module in (tasks, flows, sql)), tasks
assert (oresight.tasks.database.SQL / "views").is_dir()
assert list(oresight.read("o.duckdb").sql("SELECT 1 AS n")["n"]) == [1]
print(oresight.__file__, len(sys.path))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with folders of our folders' names, as Prefect projects have them, and a database."""
    from oresight.tasks.database import turn

    for name in ("tasks", "flows", "sql"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    with turn(str(tmp_path / "o.duckdb")):
        pass
    (tmp_path / "script.py").write_text(f"from pathlib import Path\n{SCRIPT}")
    return tmp_path


def printed(python: Path, project: Path) -> str:
    """What the script prints where no path leads to this checkout but an installation."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python), "script.py"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_editable_installation_has_one_import_name_and_every_edit_takes_effect(project: Path) -> None:
    module = Path(printed(Path(sys.executable), project).split()[0])
    assert module.name == "__init__.py" and module.resolve() == ROOT / "oresight.py"
    assert sorted(path.name for path in module.parent.iterdir()) == ["__init__.py", "flows", "py.typed", "sql", "tasks"]
    assert all((module.parent / name).resolve() == ROOT / name for name in ("flows", "py.typed", "sql", "tasks"))
    assert [path.name for path in module.parent.parent.iterdir()] == ["oresight"], "nothing else is on the path"


def test_a_wheel_holds_one_package_and_works_in_a_new_environment(project: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"oresight"}
        assert {
            "oresight/__init__.py",
            "oresight/py.typed",
            "oresight/flows/cli.py",
            "oresight/sql/views/01_contract.sql",
        } <= set(names)
        assert not [name for name in names if "__pycache__" in name]
        home = tmp_path / "environment"
        venv.create(home, with_pip=False)
        (packages,) = home.glob("lib/python*/site-packages")
        archive.extractall(packages)
    theirs = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "dependencies.pth").write_text(theirs)  # its .pth files, ours among them, are not read from there
    module = Path(printed(home / "bin" / "python", project).split()[0])
    assert module == packages / "oresight" / "__init__.py"
