"""Every picture is read as it is meant, or its row is a reject with a sentence; nothing else is lost."""

import base64
import hashlib
import io
import json
import os
import resource
import tarfile
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from oresight.tasks.config import Dataset
from oresight.tasks.database import reading, turn
from oresight.tasks.ingest import Ingested
from oresight.tasks.scoring.picture import Picture, Unreadable, pixels
from tests.support.runs import ingest_into

Take = Callable[..., Ingested]


@pytest.fixture
def database(tmp_path: Path) -> str:
    return str(tmp_path / "o.duckdb")


@pytest.fixture
def take(database: str) -> Take:
    def taken(path: Path, **more: Any) -> Ingested:
        with turn(database):
            return ingest_into(database, Dataset(name="rows", path=str(path), **more))

    return taken


def ask(database: str, question: str) -> list[tuple[Any, ...]]:
    with reading(database) as connection:
        return connection.execute(question).fetchall()


def packed(picture: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **more)
    return stream.getvalue()


def photo(seed: int = 0, size: tuple[int, int] = (40, 30)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise)


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def asked(image: Any, question: str = "what?", **more: Any) -> dict[str, Any]:
    return {"image": image, "question": question, "answer": "yes"} | more


def test_every_layout_gives_the_same_row(tmp_path: Path, database: str, take: Take) -> None:
    data = packed(photo())
    (tmp_path / "a.png").write_bytes(data)
    user, answer = {"from": "human", "value": "<image>\nwhat?"}, {"from": "gpt", "value": "yes"}
    part = {"type": "image", "image": "a.png"}
    told = {"role": "assistant", "content": "yes"}
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    files = [
        lines(tmp_path / "llava.jsonl", [{"id": 1, "image": "a.png", "conversations": [user, answer]}]),
        lines(tmp_path / "plain.jsonl", [asked("a.png")]),
        lines(
            tmp_path / "parts.jsonl",
            [{"messages": [{"role": "user", "content": [part, {"type": "text", "text": "what?"}]}, told]}],
        ),
        lines(
            tmp_path / "marks.jsonl",
            [{"messages": [{"role": "user", "content": "<image>what?"}, told], "images": ["a.png"]}],
        ),
        lines(
            tmp_path / "url.jsonl",
            [
                {
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {"type": "image_url", "image_url": {"url": url}},
                                {"type": "text", "text": "what?"},
                            ],
                        },
                        told,
                    ]
                }
            ],
        ),
        tmp_path / "t.csv",
        tmp_path / "bytes.parquet",
        tmp_path / "shard.tar",
    ]
    (tmp_path / "t.csv").write_text("file_name,question,answer\na.png,what?,yes\n")
    pq.write_table(pa.Table.from_pylist([asked({"bytes": data, "path": None})]), tmp_path / "bytes.parquet")
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for name, content in (("0.png", data), ("0.json", b'{"question": "what?", "answer": "yes"}')):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            shard.addfile(entry, io.BytesIO(content))
    found = set()
    for file in files:
        assert take(file).rows == 1, file
        ((sample_id, kind, prompt, images),) = ask(database, "SELECT sample_id, kind, prompt, images FROM rows")
        assert (kind, prompt) == ("vqa", "what?")
        assert (images[0]["width"], images[0]["height"], images[0]["mode"]) == (40, 30, "RGB")
        assert Path(images[0]["path"]).read_bytes() == data
        found.add(sample_id)
    assert len(found) == 1
    assert ask(database, "SELECT kind FROM datasets") == [("vqa",)]


def test_several_pictures_and_turns_stand_at_their_places(tmp_path: Path, database: str, take: Take) -> None:
    for name in "ab":
        photo(ord(name)).save(tmp_path / f"{name}.png")
    turns = [
        {"role": "user", "content": "first <image> then\n<image>"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "again?"},
        {"role": "assistant", "content": "yes"},
    ]
    take(lines(tmp_path / "r.jsonl", [{"messages": turns, "images": ["b.png", "a.png"]}]))
    ((messages, images, prompt),) = ask(database, "SELECT messages, images, prompt FROM rows")
    assert [part.get("text", part["type"]) for part in json.loads(messages)[0]["content"]] == [
        "first",
        "image",
        "then",
        "image",
    ]
    assert [Path(image["path"]).name for image in images] == ["b.png", "a.png"]
    assert prompt == "user: first\nthen\n\nassistant: two\n\nuser: again?"


def test_a_row_without_a_picture_among_pictures_is_a_text_row(tmp_path: Path, database: str, take: Take) -> None:
    photo().save(tmp_path / "a.png")
    take(lines(tmp_path / "r.jsonl", [asked("a.png"), asked(None, "text only?")]))
    assert ask(database, "SELECT kind, images IS NULL FROM rows ORDER BY kind") == [
        ("instruction", True),
        ("vqa", False),
    ]


def malformed(home: Path) -> dict[str, tuple[Any, str | tuple[int, int]]]:
    """What a row names, and the beginning of the reason or the size that is read."""
    inside, outside = home / "in", home / "out"
    for folder in (inside, outside):
        folder.mkdir()
    good = photo()
    (outside / "secret.png").write_bytes(packed(good))
    (inside / "link.png").symlink_to(outside / "secret.png")
    (inside / "folder.png").mkdir()
    (inside / "empty.png").write_bytes(b"")
    (inside / "cut.png").write_bytes(packed(good)[:500])
    (inside / "cut.jpg").write_bytes(packed(photo(0, (400, 400)), "JPEG")[:9000])
    (inside / "png.jpg").write_bytes(packed(good))
    (inside / "text.png").write_text("not a picture at all")
    (inside / "moving.gif").write_bytes(packed(photo(1), "GIF", save_all=True, append_images=[photo(2), photo(3)]))
    (inside / "still.gif").write_bytes(packed(photo(1), "GIF"))
    (inside / "cmyk.jpg").write_bytes(packed(good.convert("CMYK"), "JPEG"))
    Image.fromarray(np.full((30, 40), 40000, np.uint16)).save(inside / "deep.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    (inside / "turned.jpg").write_bytes(packed(good, "JPEG", exif=turned))
    Image.new("1", (20_000, 20_000)).save(inside / "bomb.png")
    Image.new("RGBA", (40, 30), (255, 0, 0, 0)).save(inside / "clear.png")
    Image.new("1", (40, 30)).save(inside / "bits.png")
    (inside / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (inside / "print.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    return {
        "missing": ("gone.png", "the picture 'gone.png' does not exist"),
        "empty": ("empty.png", "the picture 'empty.png' is empty (0 bytes)"),
        "cut png": ("cut.png", "the picture 'cut.png' cannot be decoded"),
        "cut jpeg": ("cut.jpg", "the picture 'cut.jpg' cannot be decoded"),
        "wrong extension": ("png.jpg", (40, 30)),
        "text": ("text.png", "the picture 'text.png' is not a picture in a supported format"),
        "animated": ("moving.gif", "the picture 'moving.gif' is animated or has pages (3 frames)"),
        "one frame": ("still.gif", (40, 30)),
        "cmyk": ("cmyk.jpg", (40, 30)),
        "16 bit": ("deep.png", (40, 30)),
        "rotated": ("turned.jpg", (30, 40)),
        "bomb": ("bomb.png", "the picture 'bomb.png' has"),
        "transparent": ("clear.png", (40, 30)),
        "one bit": ("bits.png", (40, 30)),
        "svg": ("drawing.svg", "the picture 'drawing.svg' is not a picture in a supported format"),
        "eps": ("print.eps", "the picture 'print.eps' is not a picture in a supported format"),
        "folder": ("folder.png", "the picture 'folder.png' is not a file"),
        "upwards": ("../out/secret.png", "the picture '../out/secret.png' lies outside"),
        "absolute": (str(outside / "secret.png"), f"the picture '{outside / 'secret.png'}' lies outside"),
        "link": ("link.png", "the picture 'link.png' lies outside"),
        "web": ("https://example.org/a.png", "the picture 'https://example.org/a.png' is on the web"),
        "file url": ("file:///etc/passwd", "the picture '/etc/passwd' lies outside"),
        "other url": ("s3://b/a.png", "the picture 's3://b/a.png' is neither a path nor an http or https URL"),
        "bytes": ({"bytes": base64.b64encode(b"x").decode()}, "the picture 'eA==' does not exist"),
        "broken data url": ("data:image/png;base64,AAAA", "a picture inside the row is not a picture"),
        "number": (7, "field 'image' holds a number (7), not a picture"),
        "no picture <image>": ("", "a text says <image> where field 'image' holds no picture"),
        "long name": ("x" * 5000, "the picture '"),
    }


def test_malformed_pictures_are_read_rightly_or_rejected_and_cost_nothing_else(
    tmp_path: Path, database: str, take: Take
) -> None:
    cases = malformed(tmp_path)
    photo(9).save(tmp_path / "in" / "good.png")
    rows = [asked(image, name) for name, (image, _) in cases.items()]
    rows += [asked("good.png", f"good {n}") for n in range(50)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = take(lines(tmp_path / "in" / "r.jsonl", rows))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 350, f"{grown:.0f} MB: a picture of 20,000 x 20,000 was decoded"
    read = {prompt: images[0] for prompt, images in ask(database, "SELECT prompt, images FROM rows")}
    reasons = {json.loads(raw)["question"]: why for raw, why in ask(database, "SELECT raw, reason FROM rejects")
               if raw.endswith("}")}  # fmt: skip
    for name, (_, expected) in cases.items():
        if isinstance(expected, str):
            assert name not in read, name
            if name in reasons:  # the long name's line is cut
                assert reasons[name].startswith(expected), (name, reasons[name])
        else:
            assert (read[name]["width"], read[name]["height"]) == expected, name
    assert sum(name.startswith("good") for name in read) == 50
    assert done.rows + done.rejected == len(rows)


def shown(path: Path) -> Picture:
    return Picture(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), 40, 30)


def test_pixels_are_what_a_person_sees(tmp_path: Path) -> None:
    malformed(tmp_path)
    home = tmp_path / "in"
    assert pixels(shown(home / "deep.png")).getpixel((0, 0)) == (40000 >> 8,) * 3
    assert pixels(shown(home / "clear.png")).getpixel((0, 0)) == (255, 255, 255)
    assert pixels(shown(home / "turned.jpg")).size == (30, 40)
    close = np.abs(np.asarray(pixels(shown(home / "cmyk.jpg")), float) - np.asarray(photo(), float)).mean()
    assert close < 60  # an inverted CMYK would be off by half the range and more
    blank = pixels(Picture("", "", 5, 4, blank=True))
    assert blank.size == (5, 4) and blank.getextrema() == ((127, 127),) * 3


def test_a_picture_that_changed_after_ingest_is_not_scored_but_read_again(
    tmp_path: Path, database: str, take: Take
) -> None:
    photo(1).save(tmp_path / "a.png")
    file = lines(tmp_path / "r.jsonl", [asked("a.png"), asked("b.png", "later?")])
    assert take(file).rejected == 1
    assert take(file).reused
    before = shown(tmp_path / "a.png")
    photo(2).save(tmp_path / "a.png")
    with pytest.raises(Unreadable, match="has changed since it was ingested"):
        pixels(before)
    again = take(file)
    assert (again.reused, again.rows) == (False, 1)
    ((sha,),) = ask(database, "SELECT images[1].sha256 FROM rows")
    assert sha != before.sha256
    photo(3).save(tmp_path / "b.png")  # what was missing is there now
    assert take(file).rows == 2


def test_pictures_of_a_file_are_kept_beside_the_database_and_out_of_the_record(
    tmp_path: Path, database: str, take: Take
) -> None:
    data = packed(photo())
    pq.write_table(pa.Table.from_pylist([asked({"bytes": data, "path": "a.png"})]), tmp_path / "r.parquet")
    take(tmp_path / "r.parquet")
    ((record, images),) = ask(database, "SELECT record, (SELECT images FROM rows) FROM store.rows")
    assert json.loads(record)["image"]["bytes"] == f"sha256:{images[0]['sha256']}"
    assert images[0]["path"].startswith(f"{database}.images{os.sep}")


def test_a_shard_that_is_cut_off_gives_the_samples_before_the_cut(tmp_path: Path, database: str, take: Take) -> None:
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for number in range(20):
            row = json.dumps({"question": f"{number}?", "answer": "yes"}).encode()
            for suffix, content in (("png", packed(photo(number))), ("json", row)):
                entry = tarfile.TarInfo(f"{number:03d}.{suffix}")
                entry.size = len(content)
                shard.addfile(entry, io.BytesIO(content))
    whole = (tmp_path / "shard.tar").read_bytes()
    (tmp_path / "shard.tar").write_bytes(whole[: len(whole) // 2])
    done = take(tmp_path / "shard.tar")
    assert 5 < done.rows < 20
    assert [1 for (reason,) in ask(database, "SELECT reason FROM rejects") if "damaged or cut off" in reason]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_pictures_on_the_web_are_fetched_only_when_allowed(tmp_path: Path, database: str, take: Take) -> None:
    (tmp_path / "web").mkdir()
    photo().save(tmp_path / "web" / "a.png")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "web")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    rows = [asked(f"{url}/a.png"), asked(f"{url}/gone.png", "and this?"), asked("https://[broken", "or that?")]
    try:
        with pytest.raises(ValueError, match=r"is on the web; set dataset.allow_download: true, or give a path"):
            take(lines(tmp_path / "r.jsonl", rows[:1]))
        photo().save(tmp_path / "b.png")
        done = take(lines(tmp_path / "r.jsonl", [*rows, asked("b.png", "here?")]), allow_download=True)
    finally:
        server.shutdown()
    assert (done.rows, done.rejected) == (2, 2)
    reasons = " ".join(reason for (reason,) in ask(database, "SELECT reason FROM rejects"))
    assert "cannot be downloaded (HTTP Error 404" in reasons and "https://[broken" in reasons
    paths = [one[0]["path"] for (one,) in ask(database, "SELECT images FROM rows WHERE prompt = 'what?'")]
    assert Path(paths[0]).read_bytes() == (tmp_path / "web" / "a.png").read_bytes()
    assert paths[0].startswith(f"{database}.images{os.sep}")
