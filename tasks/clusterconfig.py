"""Section `cluster` of the configuration: the Ray cluster that scores the rows."""

import re

from pydantic import Field, field_validator

from oresight.tasks.paths import StorePath
from oresight.tasks.section import Section


class Cluster(Section):
    """A Ray cluster that scores the rows. It needs `oresight[cluster]` on every node (docs/operate.md)."""

    address: str = "auto"
    """Address of Ray's head as HOST:PORT. auto: the cluster that RAY_ADDRESS names, or that this machine belongs to.
    The run itself must be on a node of the cluster."""
    store: StorePath
    """Where the nodes exchange shards: a folder that all of them see under the same path, or s3://bucket/prefix. The
    files of a run are deleted when all of its rows are done."""
    actors: int = Field(ge=1)
    """Processes that score, on all nodes together. Each loads the model."""
    gpus: int = Field(0, ge=0, le=64)
    """GPUs of an actor, all of one node. 0: it scores on the CPU. A model runs on as many as `model.parallel` says, and
    an actor has one model."""
    cpus: int = Field(1, ge=1)
    """CPU cores of an actor."""
    shard_rows: int = Field(8192, ge=1, le=65_536)
    """Rows of a shard: what an actor scores at a time, and what is scored again when it dies."""
    same_device: bool = False
    """Refuse to score on another type of device than the head's, because numbers differ there in the last digits. If
    false, the run notes the devices."""

    @property
    def device(self) -> str:
        """The type of the actors' device."""
        return "cuda" if self.gpus else "cpu"

    @field_validator("address")
    @classmethod
    def _of_a_head(cls, value: str) -> str:
        if value != "auto" and not re.fullmatch(r"[\w.-]+:\d+", value):
            raise ValueError(f"{value!r} is neither auto nor HOST:PORT of Ray's head, such as 10.0.0.1:6379")
        return value

    @field_validator("store")
    @classmethod
    def _folder_or_bucket(cls, value: str) -> str:
        is_bucket = re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/[^?#]*)?", value)
        if not value or ("://" in value and not is_bucket):
            raise ValueError(
                f"{value!r} is neither a folder nor s3://bucket/prefix; give one of these (keys of S3 belong in the"
                " environment)"
            )
        return value
