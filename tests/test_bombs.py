"""Small files that unfold to gigabytes: ingest stays below 2 GB, and says in a sentence what it does not read."""

import gzip
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

GOOD = '{"question": "q%d", "answer": "a"}\n'
INGEST = """
import resource, sys
from oresight.tasks.config import Curate
from oresight.tasks.database import turn
from oresight.tasks.ingest import ingest
from oresight.tasks.runs.record import Run
import PIL.Image, pyarrow.parquet, tarfile, webdataset.tariterators

config = Curate(database=sys.argv[1] + "/o.duckdb", dataset={"name": "bomb", "path": sys.argv[2]},
                reference={"name": "no", "path": "no"})
with turn(config.database):
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (2 << 30), -1))
    try:
        print(ingest(Run(config, "test"), "dataset"))
    except (ValueError, RuntimeError) as error:
        print(type(error).__name__, error)
"""


def packed(path: Path, *parts: tuple[str, int]) -> Path:
    """A gzip file of texts, each repeated so often."""
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for text, times in parts:
            block = text.encode() * (1 + min(times, (1 << 20) // len(text)))
            written, size = 0, len(text.encode()) * times
            while written < size:
                written += stream.write(block[: size - written])
    return path


def lists(folder: Path) -> Path:
    """One row of 250 MB of empty lists."""
    row = ('{"question": "q", "answer": "a", "x": [', 1), ("[],", 83 << 20), ("0]}\n", 1)
    return packed(folder / "rows.jsonl.gz", (GOOD % 1, 1), *row, (GOOD % 2, 1))


def short_lists(folder: Path) -> Path:
    """A row below the longest line whose values would take the memory."""
    row = ('{"question": "q", "answer": "a", "x": [', 1), ("{},", 20 << 20), ("0]}\n", 1)
    return packed(folder / "rows.jsonl.gz", (GOOD % 1, 1), *row, (GOOD % 2, 1))


def one_item(folder: Path) -> Path:
    """The same as an item of a list."""
    row = ('{"question": "q", "answer": "a", "x": [', 1), ("[],", 24 << 20), ("0]}]", 1)
    return packed(folder / "rows.json.gz", (f"[{GOOD % 1},\n", 1), *row)


def many_long_rows(folder: Path) -> Path:
    """Rows that are allowed each, and not all at a time."""
    row = ('{"question": "q", "answer": "💧', 1), ("x", 20 << 20), ('"}\n', 1)
    return packed(folder / "rows.jsonl.gz", *(row * 8))


def endless_cell(folder: Path) -> Path:
    """A CSV file of one line."""
    return packed(
        folder / "rows.csv.gz",
        ("question,answer\n" + "".join(f"q{n},a\n" for n in range(20)), 1),
        ("x,", 100 << 20),
        ("\n", 1),
    )


def shared_text(folder: Path) -> Path:
    """A table whose rows share one text."""
    column = pa.array(["q" * (4 << 20)]).dictionary_encode().take(pa.array([0] * 512))
    table = pa.table(
        {"question": pa.DictionaryArray.from_arrays(column.indices, column.dictionary), "answer": ["a"] * 512}
    )
    pq.write_table(table, folder / "rows.parquet", compression="zstd", dictionary_pagesize_limit=1 << 28)
    return folder / "rows.parquet"


def sparse_member(folder: Path) -> Path:
    """An archive with a member of 4 GB that takes no room."""
    header = tarfile.TarInfo("1.jpg")
    header.pax_headers = {
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "1.jpg",
        "GNU.sparse.size": str(4 << 30), "GNU.sparse.realsize": str(4 << 30), "GNU.sparse.map": "0,0",
    }  # fmt: skip
    with tarfile.open(folder / "rows.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(header)
        for number in (2, 3):
            data = (GOOD % number).encode()
            member = tarfile.TarInfo(f"{number}.json")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return folder / "rows.tar"


def palettes(folder: Path) -> Path:
    """Pictures of 100 million pixels each, of which several are opened at a time."""
    for number in range(3):
        picture = Image.new("P", (10_000, 10_000), number)
        picture.putpalette([number, 9, 9, 99, 99, 99])
        picture.save(folder / f"{number}.png", transparency=1, compress_level=1)
    rows = [json.dumps({"question": f"q{n}", "answer": "a", "image": f"{n}.png"}) + "\n" for n in range(3)]
    (folder / "rows.jsonl").write_text("".join(rows))
    return folder / "rows.jsonl"


def bad_lines(folder: Path) -> Path:
    """Good rows and then millions of lines that are none."""
    good = "".join(GOOD % n for n in range(300))
    return packed(folder / "rows.jsonl.gz", (good, 1), ("bad\n", 6_000_000))


BOMBS: dict[Callable[[Path], Path], str] = {
    lists: "rows=2, rejected=1",
    short_lists: "rows=2, rejected=1",
    one_item: "rows=1, rejected=1",
    many_long_rows: "rows=1, rejected=0, duplicates=7",
    endless_cell: "rows=20, rejected=4",
    shared_text: "rows=1, rejected=0, duplicates=511",
    sparse_member: "rows=2, rejected=1",
    palettes: "rows=3, rejected=0",
    bad_lines: "this is the wrong file",
}
"""Files, and what ingest says of them."""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the size of the process cannot be read here")
@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_ingest_stays_below_two_gigabytes(bomb: Callable[[Path], Path], tmp_path: Path) -> None:
    path = bomb(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", INGEST, str(tmp_path), str(path)],
        capture_output=True,
        text=True,
        env={
            "MALLOC_ARENA_MAX": "2",
            "ARROW_DEFAULT_MEMORY_POOL": "system",
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
        },
        check=False,
    )
    assert BOMBS[bomb] in done.stdout, done.stdout + done.stderr[-2000:]
    assert "batch_tokens" not in done.stdout
