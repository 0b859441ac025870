"""Splits a model over several processes of this machine (tensor parallelism), where one device cannot hold it.

Each process holds a part of every layer, as transformers' plan for the model's family says, and the whole head. This
process is rank 0: it reads the rows, computes all that follows the body, and writes. The other processes, its
followers, only run the body on the same inputs. They get these as safetensors through a pipe, reach each other on
loopback only, and end with this process, however it ends.
"""

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from enum import StrEnum
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from safetensors.torch import save
from torch import Tensor
from transformers import __version__ as transformers_version

from oresight.tasks.scoring.memory import out_of_memory
from oresight.tasks.scoring.source import Source, UnusableModel

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others inside a layer. On a GPU it does not notice earlier that one has ended."""
GRACE_S = 10
"""Seconds that a follower has to end."""
FULL = "model.parallel: the memory of a device is full; lower scoring.batch_tokens or raise model.parallel"


class Past(StrEnum):
    """What the ids of a call of the body follow."""

    NOTHING = "nothing"
    KEPT = "the kept prefix"
    EMPTY = "an empty cache, which becomes the kept prefix"


class LostProcess(RuntimeError):
    """One of the processes that share the model has ended."""


class Followers:
    """The processes of the ranks 1, 2, ... They stay from one model to the next."""

    running: ClassVar["Followers | None"] = None

    def __init__(self, size: int, device_type: str) -> None:
        self.size, self.device_type = size, device_type
        self.folder = TemporaryDirectory(prefix="oresight-ranks-")
        self.processes: list[subprocess.Popen[bytes]] = []
        self.pipes: list[Connection] = []
        Followers.running = self
        try:
            for rank in range(1, size):
                self._start(rank)
            self.wait()
            join(0, size, device_type, self.folder.name)
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def of(size: int, device: torch.device) -> "Followers":
        """Those that run already, or new ones. Raises UnusableModel if this machine lacks the devices."""
        _require_devices(size, device.type)
        running = Followers.running
        if running and (running.size, running.device_type) == (size, device.type):
            return running
        if running:
            running.stop()
        return Followers(size, device.type)

    def load(self, source: Source, dtype: str) -> None:
        """Make the followers load a model, as this process must do meanwhile. `wait` says whether they did."""
        self._send({"load": {"name": source.name, "folder": str(source.folder)}, "dtype": dtype})

    def wait(self) -> None:
        """Wait until each has done what it was told. Raises LostProcess."""
        for pipe in self.pipes:
            try:
                pipe.recv_bytes()
            except (EOFError, OSError) as error:
                raise self._lost() from error

    @contextmanager
    def running_body(self, ids_NL: Tensor, past: Past, pictures: Mapping[str, Tensor]) -> Iterator[None]:
        """The followers run the body on these inputs while this process does so inside this context.

        Raises LostProcess, and ValueError where the memory of this process is full: the processes then wait for each
        other in different layers, so the batch cannot be tried again.
        """
        tensors = {"ids": ids_NL, **{f"picture.{name}": value for name, value in pictures.items()}}
        content = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
        try:
            self._send({"past": past}, content)
            yield
        except (RuntimeError, MemoryError, OSError) as error:
            if out_of_memory(error):
                self.stop()
                raise ValueError(FULL) from None
            raise self._lost() from error

    def stop(self) -> None:
        """End these followers, unless they have ended."""
        if Followers.running is not self:
            return
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
        if dist.is_initialized():
            dist.destroy_process_group()
        self.folder.cleanup()
        Followers.running = None

    def _start(self, rank: int) -> None:
        ours, theirs = Pipe()
        facts = {"rank": rank, "size": self.size, "device_type": self.device_type, "folder": self.folder.name}
        with self._log(rank).open("wb") as log:
            self.processes.append(
                subprocess.Popen(  # noqa: S603  this program, with a number
                    [sys.executable, "-P", "-m", "oresight.tasks.scoring.follower", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=os.environ | {"LOCAL_RANK": str(rank)},  # transformers chooses the device by it
                )
            )  # fmt: skip
        theirs.close()
        self.pipes.append(ours)
        ours.send_bytes(json.dumps(facts | {"threads": torch.get_num_threads()}).encode())

    def _log(self, rank: int) -> Path:
        return Path(self.folder.name, f"{rank}.log")

    def _send(self, order: dict[str, Any], content: bytes = b"") -> None:
        for pipe in self.pipes:
            pipe.send_bytes(json.dumps(order).encode())
            pipe.send_bytes(content)

    def _lost(self) -> LostProcess:
        """Which of them has ended, and its last words. Ends the others."""
        message = "the processes that share the model are out of step"
        for rank, process in enumerate(self.processes, start=1):
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(GRACE_S)
                words = self._log(rank).read_text(encoding="utf-8", errors="replace").strip().splitlines()
                last = f" ({words[-1][:300]})" if words else ""
                message = f"process {rank} of {self.size} has ended with exit code {code}{last}"
                break
        self.stop()
        return LostProcess(f"model.parallel: {message}")


@atexit.register
def stop_followers() -> None:
    """End the followers of this process, if there are any."""
    if Followers.running:
        Followers.running.stop()


def join(rank: int, size: int, device_type: str, folder: str) -> torch.device:
    """Make this process one of those that share models. They meet in a file, and talk on loopback.

    Returns its device.
    """
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, "lo0" if sys.platform == "darwin" else "lo")
    device = torch.device(device_type, rank) if device_type == "cuda" else torch.device(device_type)
    dist.init_process_group(
        BACKENDS[device_type], init_method=f"file://{folder}/store", rank=rank, world_size=size, timeout=PATIENCE,
        device_id=device if device_type == "cuda" else None,
    )  # fmt: skip
    return device


def agreed(number: int, device: torch.device) -> int:
    """The number that rank 0 has."""
    numbers = torch.tensor([number], device=device)
    dist.broadcast(numbers, src=0)
    return int(numbers)


def split(kind: Any, config: Any, size: int) -> Any:
    """How transformers distributes a model: by the plan of its family, with the whole head in every process.

    kind: the class that builds the model. Raises UnusableModel if the model cannot be split.
    """
    try:
        from transformers.distributed import DistributedConfig
    except ImportError as error:
        raise UnusableModel(f"model.parallel: needs a later transformers than {transformers_version}") from error
    with torch.device("meta"):
        model = kind.from_config(config, trust_remote_code=False)
    if not model.tp_plan or config.is_encoder_decoder:
        raise UnusableModel(
            f"model.parallel: transformers {transformers_version} has no plan to split a {type(model).__name__}; remove"
            " model.parallel, or name a model of another family, such as Llama, Qwen, Gemma or Mistral"
        )
    text = config.get_text_config(decoder=True)
    heads = text.num_attention_heads, getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    if any(number % size for number in heads):
        fitting = [str(n) for n in range(2, min(heads) + 1) if not any(number % n for number in heads)]
        cure = f"set it to {' or '.join(fitting)}" if fitting else "remove it"
        raise UnusableModel(
            f"model.parallel: {size} processes cannot share the model's {heads[0]} attention heads and {heads[1]} heads"
            f" of keys; {cure}"
        )
    names = {module: name for name, module in model.named_modules()}
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    complete = [head, embedding] if embedding.weight is head.weight else [head]
    return DistributedConfig(tp_size=size, tp_plan={names[module]: "replicate" for module in complete})


def _require_devices(size: int, device_type: str) -> None:
    """Raises UnusableModel if this machine has not as many devices of the type, or transformers would take others."""
    gpus = torch.cuda.device_count()
    if device_type == "cuda" and gpus < size:
        raise UnusableModel(
            f"model.parallel: {size} processes need a GPU each, and torch sees {gpus} on this machine; lower it, or run"
            " where there are more"
        )
    if device_type not in BACKENDS or (device_type == "cpu" and torch.accelerator.is_available()):
        raise UnusableModel(
            f"model.parallel: splits a model over CUDA devices, not over {device_type}; set model.device: cuda, or hide"
            " the GPUs (CUDA_VISIBLE_DEVICES=) to try it on the CPU"
        )
