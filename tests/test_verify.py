"""A published folder that somebody changed is refused and named, whatever it says of itself."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oresight.tasks.config import Curate
from oresight.tasks.database import reading
from oresight.tasks.publish import Published
from oresight.tasks.publishing.integrity import verify
from tests.support.processes import oresight
from tests.test_publish import Killed, content, release, some
from tests.test_split import settings


def rewrite_manifest(folder: Path, **changes: Any) -> None:
    """Change the manifest, and its digests so that it agrees with the files."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for file in manifest["files"]:
        data = (folder / file["path"]).read_bytes()
        file |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def swap_bytes(folder: Path) -> None:
    file = folder / "train.jsonl"
    file.write_bytes(file.read_bytes().replace(b"answer", b"ANSWER"))


def replace_and_vouch(folder: Path) -> None:
    swap_bytes(folder)
    rewrite_manifest(folder)


def name_a_file_outside(folder: Path) -> None:
    outside = folder.parent.parent.parent / "outside"
    outside.write_text("a secret")
    manifest = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256(b"a secret").hexdigest()
    manifest["files"].append({"path": "../../../outside", "bytes": 8, "sha256": digest})
    (folder / "manifest.json").write_text(json.dumps(manifest))


def link_to_a_copy(folder: Path) -> None:
    (folder / "train.jsonl").rename(folder.parent / "copy")
    (folder / "train.jsonl").symlink_to("../copy")


CHANGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "same size": (swap_bytes, "train.jsonl has another content"),
    "vouched for": (replace_and_vouch, "manifest.json is not the one that was written"),
    "rows": (lambda folder: rewrite_manifest(folder, rows_kept=1), "manifest.json is not the one"),
    "approval": (lambda folder: rewrite_manifest(folder, approval={"who": "Eve"}), "manifest.json is not the one"),
    "white space": (lambda f: (f / "manifest.json").open("a").write(" "), "manifest.json is not the one"),
    "outside": (name_a_file_outside, "manifest.json is not the one"),
    "one more": (lambda folder: (folder / "train-2.jsonl").touch(), "train-2.jsonl is not in the manifest"),
    "one below": (lambda f: (f / "images").mkdir() or (f / "images" / "a.png").touch(), "images/a.png is not in the"),
    "hidden": (lambda folder: (folder / ".hidden").touch(), ".hidden is not in the manifest"),
    "a link more": (lambda folder: (folder / "more").symlink_to("/etc"), "more is not in the manifest"),
    "a link": (link_to_a_copy, "train.jsonl is no file, but a link or a folder"),
    "gone": (lambda folder: (folder / "README.md").unlink(), "README.md is gone"),
    "a folder": (lambda f: (f / "README.md").unlink() or (f / "README.md").mkdir(), "README.md is gone"),
    "a pipe": (lambda f: (f / "README.md").unlink() or os.mkfifo(f / "README.md"), "README.md is no file"),
}
"""Ways to change a published folder, and what is said of each."""


def told(config: Curate) -> list[tuple[Any, ...]]:
    with reading(config.database) as connection:
        return connection.execute("SELECT rows_kept, manifest_sha256, folder FROM splits").fetchall()


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_is_refused_by_name_and_the_database_believes_nothing_of_it(
    tmp_path: Path, change: str
) -> None:
    config = settings(tmp_path)
    folder = release(config, some()).folder
    assert [found.problems for found in verify(config.database)] == [[]]
    before, (alter, problem) = told(config), CHANGES[change]
    alter(folder)
    with pytest.raises(ValueError, match=r"publishing.folder: .*v1 is not as it was published") as refused:
        release(config)
    assert problem in str(refused.value) and "move it away, and it is written again" in str(refused.value)
    assert told(config) == before
    assert any(problem in found for found in verify(config.database, "chosen")[0].problems)
    shutil.move(folder, tmp_path / "aside")
    assert release(config) == Published(folder, True), "the cure works"
    assert verify(config.database)[0].problems == []


def test_a_folder_from_a_killed_run_is_believed_only_as_that_run_left_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is killed after the rename and before the version is recorded as published."""

    def killed(*_: Any) -> None:
        raise Killed

    config = settings(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("oresight.tasks.publish.send", killed)
        release(config, some())
    folder = tmp_path / "out" / "chosen" / "v1"
    untouched = shutil.copytree(folder, tmp_path / "untouched")
    replace_and_vouch(folder)
    with pytest.raises(ValueError, match=r"manifest.json is not the one that was written"):
        release(config)
    assert told(config) == [(10, None, None)]
    shutil.rmtree(folder)
    shutil.move(untouched, folder)
    before = content(folder)
    assert release(config) == Published(folder, False) and content(folder) == before


def test_two_folders_of_a_version_are_both_known(tmp_path: Path) -> None:
    config = settings(tmp_path)
    first = release(config, some()).folder
    config.publishing.folder = str(tmp_path / "elsewhere")
    second = release(config).folder
    config.publishing.folder = str(tmp_path / "out")
    assert not release(config).new, "the first is known still"
    swap_bytes(second)
    assert {found.folder: len(found.problems) for found in verify(config.database)} == {first: 0, second: 1}


@pytest.mark.parametrize("target", ["nowhere", "elsewhere"])
def test_a_link_in_the_place_of_a_version_is_a_sentence(tmp_path: Path, target: str) -> None:
    config = settings(tmp_path)
    (tmp_path / "out" / "chosen").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "chosen" / "v1").symlink_to(tmp_path / target)
    with pytest.raises(ValueError, match=r"v1 is a symbolic link; move it away"):
        release(config, some())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_command_lists_every_problem_and_takes_a_split_or_a_configuration(tmp_path: Path) -> None:
    config = settings(tmp_path)
    folder = release(config, some()).folder
    (tmp_path / "config.yaml").write_text(
        f"database: {config.database}\ndataset: {{name: a, path: b}}\nreference: {{name: c, path: d}}\n"
    )
    good = oresight("verify", "--database", config.database)
    assert (good.returncode, good.stdout) == (0, f"{folder}: as published\n")
    swap_bytes(folder)
    (folder / "more").touch()
    for arguments in (("chosen", "--database", config.database), (str(tmp_path / "config.yaml"),)):
        done = oresight("verify", *arguments)
        assert done.returncode == 1 and "1 of 1 folders are not as published" in done.stderr
        problems = ["more is not in the manifest", "train.jsonl has another content"]
        assert done.stdout.splitlines() == [f"{folder}: 2 problems", *(f"  {problem}" for problem in problems)]
    shutil.rmtree(folder)
    gone = oresight("verify", "--database", config.database)
    assert (gone.returncode, gone.stdout) == (0, f"{folder}: is not there\n")
    none = oresight("verify", "other", "--database", config.database)
    assert none.returncode == 2 and "knows no published version of the split 'other'" in none.stderr
