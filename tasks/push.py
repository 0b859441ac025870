"""A published version -> a dataset repository on the Hugging Face hub.

Only files that the manifest lists are uploaded, with the manifest, and only if they are as they were published. A
public repository does not get dropped.parquet: it holds rows that must not be trained on, some for personal data.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from oresight.tasks.database import reading, records
from oresight.tasks.publishing.gate import gate
from oresight.tasks.publishing.integrity import MANIFEST, listed, problems_of
from oresight.tasks.publishing.signature import SIGNATURE
from oresight.tasks.runs.faults import Unreachable
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Refused, Run

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TOKEN = "set HF_TOKEN to one that may write (https://huggingface.co/settings/tokens), or run `hf auth login`"  # noqa: S105
DROPPED = "dropped.parquet"
OWN_FILES = {"train.parquet", "train.jsonl", "train.json", DROPPED, "croissant.json", "openlineage.json", SIGNATURE}
"""Files that a version may have, beside those in images/. On the hub those that the pushed version lacks are deleted,
because an earlier version may hold rows that were forgotten since."""


def push(run: Run, repository: str, version: int | None = None, *, public: bool = False) -> str:
    """Upload a published version, by default the newest, to OWNER/NAME, which is made if need be. Returns its address.

    public: anyone may read a repository that this makes. Without it, a repository that is public already is refused.

    Raises ValueError for a wrong name, a version that was not published or without a token that may write; Refused if
    the folder is not as it was published or the gate stops the version; Unreachable.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, get_token

    owner, _, name = repository.partition("/")
    if not owner or not name or "/" in name:
        raise ValueError(f"{repository}: is not the name of a repository; give OWNER/NAME")
    number, folder = _published(run, version)
    files = listed(json.loads((folder / MANIFEST).read_bytes()))
    files = [file for file in files if not (public and file == DROPPED)]
    if not get_token():
        raise ValueError(f"no Hugging Face token is set; {TOKEN}")
    hub, message = HfApi(), f"{run.config.splitting.name}/v{number}, published by Oresight"
    with _explained(hub, repository):
        stale = [file for file in _made(hub, repository, public=public) if _is_ours(file) and file not in files]
        changes: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = []
        changes += [CommitOperationAdd(file, folder / file) for file in files]
        changes += [CommitOperationDelete(file) for file in stale]
        hub.create_commit(repository, changes, commit_message=message, repo_type="dataset")
    log().info("push: %d files of %s%s", len(files), folder, f"; {DROPPED} is not made public" if public else "")
    return f"{hub.endpoint}/datasets/{repository}"


def _published(run: Run, version: int | None) -> tuple[int, Path]:
    """The version and its folder. Raises ValueError if it was not published, Refused as `push` says."""
    config, split = run.config, run.config.splitting.name
    with reading(config.database) as connection:
        rows = records(connection, "verify_folders", {"split": split})
        rows = [row for row in rows if version in (None, row["version"])]
        if not rows:
            what = f"v{version}" if version is not None else "version"
            raise ValueError(
                f"{config.database}: no {what} of {split} is published; `oresight publish CONFIG.yaml` does"
            )
        newest = max(row["version"] for row in rows)
        folders = {Path(row["folder"]): row["digests"] for row in rows if row["version"] == newest}
        gate(connection, config, {"split": split, "version": newest})
    configured = (Path(config.publishing.folder) / split / f"v{newest}").absolute()
    folder = next((path for path in (configured, *sorted(folders)) if path in folders and path.is_dir()), None)
    if folder is None:
        raise ValueError(f"{min(folders)}: is not there; `oresight publish CONFIG.yaml` writes it again")
    if problems := problems_of(folder, folders[folder]):
        raise Refused(f"{folder} is not as it was published ({problems[0]}); move it away and publish again")
    return newest, folder


def _made(hub: "HfApi", repository: str, *, public: bool) -> list[str]:
    """Make the repository. Returns the files of one that is there already. Raises ValueError if that is public and must
    not be.
    """
    from huggingface_hub.errors import HfHubHTTPError

    try:
        hub.create_repo(repository, repo_type="dataset", private=not public)
        return []
    except HfHubHTTPError as error:
        if error.response.status_code not in (403, 409):  # a token may be allowed to write and not to make
            raise
        try:
            info = hub.dataset_info(repository)
        except HfHubHTTPError:
            raise error from None
    if info.private is False and not public:
        raise ValueError(f"{repository}: anyone can read this repository; say --public, or make it private on the hub")
    return [file.rfilename for file in info.siblings or []]


def _is_ours(file: str) -> bool:
    return file in OWN_FILES or file.startswith("images/")


@contextmanager
def _explained(hub: "HfApi", repository: str) -> Iterator[None]:
    """Turn errors of the hub's client into one sentence with the cure."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        yield
    except HFValidationError as error:
        raise ValueError(f"{repository}: is not the name of a repository ({error}); give OWNER/NAME") from error
    except OfflineModeIsEnabled as error:
        raise ValueError("HF_HUB_OFFLINE is set, so nothing reaches the hub; unset it") from error
    except HfHubHTTPError as error:
        code = error.response.status_code
        answer = f"{code}: {error.server_message or error.response.reason_phrase}"
        if code in (401, 403):
            raise ValueError(
                f"{repository}: the hub does not let this token write there ({answer}); {TOKEN}"
            ) from error
        if 400 <= code < 500 and code not in (408, 409, 429):
            raise ValueError(f"{repository}: the hub refuses it ({answer})") from error
        raise Unreachable(f"{hub.endpoint} fails ({answer}); run again later") from error
    except Exception as error:
        if not type(error).__module__.startswith("httpx"):
            raise
        raise Unreachable(
            f"{hub.endpoint} cannot be reached ({type(error).__name__}: {error}); check the network, then run again"
        ) from error
