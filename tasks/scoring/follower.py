"""A process that holds its part of a model and runs the body on what rank 0 sends (scoring/parallel.py)."""

import json
import os
import queue
import shutil
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from safetensors.torch import load as read_tensors

from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.model import load_part
from oresight.tasks.scoring.parallel import Past, join
from oresight.tasks.scoring.source import Source


def follow(pipe: Connection) -> None:
    """Do what rank 0 says, until it ends."""
    facts = json.loads(pipe.recv_bytes())
    orders: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, orders, facts["folder"]), daemon=True).start()
    torch.set_num_threads(facts["threads"])
    pipe.send_bytes(b"ready")
    device = join(facts["rank"], facts["size"], facts["device_type"], facts["folder"])
    loaded: Loaded | None = None
    while True:
        text, content = orders.get()
        order = json.loads(text)
        if "load" in order:
            del loaded
            files = Source(order["load"]["name"], Path(order["load"]["folder"]), gguf=None, weights="", template="")
            loaded = load_part(files, device, order["dtype"], facts["size"])
            pipe.send_bytes(b"loaded")
        else:
            assert loaded is not None, "rank 0 loads a model first"
            _run_body(loaded, Past(order["past"]), content)


def _run_body(loaded: Loaded, past: Past, content: bytes) -> None:
    tensors = read_tensors(content)
    ids_NL, pictures = tensors.pop("ids"), {name.removeprefix("picture."): value for name, value in tensors.items()}
    if past is Past.EMPTY:
        loaded.clear()
        loaded.prefix(ids_NL[0].tolist(), pictures=pictures)
    else:
        loaded.states(ids_NL, past=loaded.kept_prefix if past is Past.KEPT else None, pictures=pictures)


def _receive(pipe: Connection, orders: "queue.SimpleQueue[tuple[bytes, bytes]]", folder: str) -> None:
    """Take orders. Ends this process as soon as rank 0 has ended, also while it waits inside a layer.

    folder: where they met; it is deleted, because a killed rank 0 does not do so.
    """
    with suppress(EOFError, OSError):
        while True:
            orders.put((pipe.recv_bytes(), pipe.recv_bytes()))
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 decides what becomes of Ctrl-C
    follow(Connection(int(sys.argv[1])))
