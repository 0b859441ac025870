"""Old and new releases of `datasets` load published folders. `make loads` runs this; each has its own environment."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.support.published import default_file, png, publish_file, publish_rows, published_lines, qa
from tests.test_publish import release
from tests.test_published_rows import CALL, PARTS, RESULT, date, talk, without_nulls
from tests.test_split import row, settings

Record = dict[str, Any]
RELEASES = {
    "2.16.1": ["pyarrow==14.0.2", "numpy<2", "pandas<2.2"],
    "3.6.0": ["pyarrow==20.0.0", "pandas<3"],
    "4.0.0": ["pandas<3"],
    "4.6.1": [],
    "4.8.4": [],
}
"""Each with the packages that were new at its time. The tests' own environment has the newest release."""


TABLES: dict[str, list[Record]] = {
    "alpaca": [{"instruction": f"Do {n}.", "input": ["", "x"][n % 2], "output": "2020-01-01"} for n in range(6)],
    "sharegpt": [
        {
            "system": [None, "s"][n % 2],
            "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": f"{n}"}],
        }
        for n in range(6)
    ],
    "prompt and completion in turns": [
        {"prompt": [{"role": "user", "content": f"q{n}"}], "completion": [{"role": "assistant", "content": "a"}]}
        for n in range(6)
    ],
    "tool calls": [talk(n, CALL, RESULT, tools=[{"name": "f", "parameters": {f"p{n}": "x"}}]) for n in range(6)],
    "tool calls and mixed ids": [talk(n, CALL, RESULT, id=["x", 1][n % 2]) for n in range(6)],
    "dates in turns": [{"messages": [date("user", n), date("assistant", n, weight=1)]} for n in range(6)],
    "contents of several types": [talk(n, PARTS) for n in range(6)],
    "mixed": [
        qa(n, a=[1, "x", 1.5, None, True][n % 5], b=["x", ["x"], {"k": 1}][n % 3], c=[2**70, -1][n % 2], d=2**63 + n)
        for n in range(15)
    ],
    "null or list": [qa(n, a=[None, ["x"], []][n % 3], b=None, c=[], d={}, e={f"k{n}": n}) for n in range(9)],
}
NEEDS_JSON = {"contents of several types"}
"""Tables whose raw file loads from release 4.8 on only. Before that, train.parquet loads."""
PICTURES: dict[str, list[Record]] = {
    "picture": [qa(n, image={"bytes": png(n), "path": f"{n}.png"} if n % 3 else None, tags=["x"]) for n in range(6)],
    "pictures": [talk(n, images=[{"bytes": png(m), "path": None} for m in (n, n + 9)]) for n in range(6)],
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A published folder of each table."""
    folders = {name: publish_rows(rows, tmp_path_factory.mktemp("table")) for name, rows in TABLES.items()}
    names = {"": 1, "ID": 2, "id": "x", 'a "b"\\.c': 3, "ü | ☃": {"_type": "x"}}
    folders["names"] = release(
        settings(tmp_path_factory.mktemp("names")), [row(n, **qa(n), **names) for n in (1, 2)]
    ).folder
    for name, rows in PICTURES.items():
        home = tmp_path_factory.mktemp("pictures")
        pq.write_table(pa.Table.from_pylist(rows), home / "raw.parquet")
        folders[name] = publish_file(home / "raw.parquet", home)
    return folders


def python_with(number: str) -> Path:
    """The interpreter of an environment with a release of `datasets`. Skips the test if it cannot be installed."""
    home = Path(sys.prefix) / "loads" / number
    uv = Path(sys.prefix) / "bin" / "uv"
    packages = [f"datasets=={number}", "pillow", *RELEASES[number]]
    commands = [[uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, home],
                [uv, "pip", "install", "--quiet", "--python", home / "bin" / "python", *packages]]  # fmt: skip
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"datasets {number} cannot be installed: {done.stderr.strip()[-300:]}")
    return home / "bin" / "python"


@pytest.mark.parametrize("number", [*RELEASES, "newest"])
def test_a_release_of_datasets_loads_published_folders(folders: dict[str, Path], number: str) -> None:
    python = Path(sys.executable) if number == "newest" else python_with(number)
    script = Path(__file__).with_name("read_folders.py")
    done = subprocess.run(
        [python, script, *folders.values()], capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    for name, folder in folders.items():
        read, rows = results[str(folder)], as_printed(pq.read_table(folder / "train.parquet").to_pylist())
        assert read["train.parquet"] == rows, name
        if default_file(folder) == "train.parquet":
            assert read["folder"] == rows, name
        elif number in ("4.8.4", "newest"):
            assert read["folder"] == published_lines(folder), name
        elif name in NEEDS_JSON:
            assert "changed from string to array" in read["folder"], name
        else:
            assert without_nulls(read["folder"]) == without_nulls(published_lines(folder)), name


def as_printed(value: Any) -> Any:
    """A value of train.parquet as read_folders.py prints it: a picture is its size."""
    if isinstance(value, list):
        return [as_printed(item) for item in value]
    if isinstance(value, dict) and "bytes" in value:
        return list(Image.open(io.BytesIO(value["bytes"])).size)
    return {key: as_printed(item) for key, item in value.items()} if isinstance(value, dict) else value
