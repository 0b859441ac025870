"""Scoring on one accelerator, compared with the bare forward pass: `make gpu`, or python3 tests/bench/bench_gpu.py.

It needs torch, transformers, safetensors, Pillow and this repository, no network and no data: models have random
weights and rows have random ids. On a machine without an accelerator it runs the same program with tiny sizes, which
shows only that it works.

`floor` is the forward pass of the body with the loss of the answer tokens, and `value` to `gain` add what a run
computes. Each line is the best of the repeats, which take turns. Tokens are real ones, padding not counted. Memory is
the peak of a measurement less the weights. All sizes take about five minutes on an H100, by arithmetic.
"""

import argparse
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # where the project is not installed
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from oresight.tasks.scoring.device import devices
from oresight.tasks.scoring.engine import Engine, Options, open_engine
from oresight.tasks.scoring.formula import errors
from oresight.tasks.scoring.forward import Answers, visit
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.parts import take_apart
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.signals import TILE


@dataclass(frozen=True)
class Size:
    """The shape of a model, and the rows that it scores."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    rows: int
    batches: tuple[int, ...]


SIZES = {
    "135M": Size(49_152, 576, 30, 9, 4000, (16_384, 65_536, 131_072)),
    "1B": Size(128_256, 2048, 16, 32, 1500, (16_384, 65_536)),
    "7B": Size(128_256, 4096, 32, 32, 400, (8192, 32_768)),
}
TINY = {"tiny": Size(512, 32, 2, 4, 12, (1024,))}


def built(size: Size, device: str, dtype: torch.dtype) -> Loaded:
    """A model with random weights, made on its device."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size.vocabulary, hidden_size=size.width, num_hidden_layers=size.layers, tie_word_embeddings=False,
        intermediate_size=size.width * 4, num_attention_heads=size.heads, num_key_value_heads=max(size.heads // 4, 1),
        max_position_embeddings=4096,
    )  # fmt: skip
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)
    return take_apart(model, None, "random")  # type: ignore[arg-type]


def drawn(size: Size, seed: int, rows: int) -> list[Encoded]:
    """Rows of 20 to 300 random ids, of which the last 10 to 200 are the answer: about 160 and 100 on average."""
    draw = random.Random(seed)
    made = []
    for _ in range(rows):
        start, answer = draw.randint(10, 100), draw.randint(10, 200)
        ids = [draw.randrange(2, size.vocabulary) for _ in range(start + answer)]
        made.append(Encoded(ids, start, len(ids), ids[:1]))
    return made


def floor(model: Loaded, part: Answers) -> Any:
    """The loss of a batch, in float32, from the logits of its answer positions."""
    losses = [
        cross_entropy((tile.h_TD.to(model.dtype) @ model.head.weight_VD.T).float(), tile.y_T, reduction="sum")
        for tile in part.tiles(2048)
    ]
    return torch.stack(losses).sum().item()


def methods(engine: Engine, rows: Sequence[Encoded], batch: int) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    model, reference = engine.model, engine.gauge.reference

    def value(part: Answers, with_self: bool) -> None:
        for tile in part.tiles(TILE):
            lengths = tile.lengths if with_self else None
            seen = errors(tile.h_TD, tile.y_T, model.head, reference.along, lengths=lengths)
            assert seen.along_TR is not None
            (seen.along_TR * reference.states(tile.h_TD)).sum(1).tolist()
            seen.logprob_T.tolist()

    def visited(measure: Callable[[Answers], Any]) -> Callable[[], Any]:
        return lambda: list(visit(model, rows, batch, measure))

    gaining = replace(engine, options=Options(batch_tokens=batch, conditional_gain=True))
    return {
        "floor": visited(lambda part: floor(model, part)),
        "value": visited(lambda part: value(part, False)),
        "and self_value": visited(lambda part: value(part, True)),
        "and the index": visited(engine.gauge.measure),
        "and conditional gain": lambda: list(gaining.score(rows)),
    }


def synchronised(device: torch.device) -> float:
    """The time in seconds, after the device has done all that it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def measured(name: str, size: Size, device: str, dtype: torch.dtype, repeats: int) -> None:
    """Print a line for each method and batch size."""
    model = built(size, device, dtype)
    model.shares = False
    rows = drawn(size, 1, size.rows)
    engine = opened(model, size)
    tokens = sum(len(row.ids) for row in rows)
    on_gpu = model.device.type == "cuda"
    for batch in size.batches:
        seconds: dict[str, float] = {}
        peaks: dict[str, float] = {}
        for repeat in range(repeats + 1):  # the first warms up
            for label, run in methods(engine, rows, batch).items():
                if on_gpu:
                    torch.cuda.reset_peak_memory_stats(model.device)
                    before = torch.cuda.memory_allocated(model.device)
                started = synchronised(model.device)
                run()
                spent = synchronised(model.device) - started
                if repeat:
                    seconds[label] = min(spent, seconds.get(label, spent))
                if on_gpu:
                    peaks[label] = (torch.cuda.max_memory_allocated(model.device) - before) / 2**30
        for label, spent in seconds.items():
            share = f"{spent / seconds['floor']:.3f} of the floor" if label != "floor" else ""
            peak = f", {peaks[label]:.1f} GiB" if on_gpu else ""
            print(f"{name} batch {batch}: {label:<21}{tokens / spent:>12,.0f} tokens/s {share}{peak}", flush=True)
    del engine, model


def opened(model: Loaded, size: Size, batch: int = 8192) -> Engine:
    """An engine of a model, opened on random reference rows."""
    reference, opening = drawn(size, 2, min(32, size.rows)), drawn(size, 3, min(64, size.rows))
    return open_engine(model, reference, opening, Options(batch_tokens=batch, conditional_gain=False)).engine


def values_of(engine: Engine, rows: Sequence[Encoded]) -> torch.Tensor:
    """The value of each row [N]."""
    signals = sorted((one for batch in engine.score(rows) for one in batch), key=lambda one: one.row)
    return torch.tensor([one.value for one in signals], dtype=torch.float64)


def agreement(name: str, size: Size, device: str, dtype: torch.dtype) -> None:
    """Print how values on the device agree with those of the same weights in float32 on the CPU."""
    rows, model = drawn(size, 1, min(48, size.rows)), built(size, device, dtype)
    twin = built(size, "cpu", torch.float32)
    twin.body.load_state_dict(
        {key: value.float().cpu() for key, value in model.body.state_dict().items()}, strict=False
    )
    twin.head.weight_VD.copy_(model.head.weight_VD.float().cpu())
    ours, theirs = (values_of(opened(each, size), rows) for each in (model, twin))
    ranks = torch.stack([values.argsort().argsort().double() for values in (ours, theirs)])
    worst = float((ours - theirs).abs().max() / theirs.abs().max())
    correlation = float(torch.corrcoef(ranks)[0, 1])
    print(f"{name} agreement with float32 on the CPU: Spearman {correlation:.5f}, off by {worst:.1e} of the largest")


def two_engines(name: str, size: Size, device: str, dtype: torch.dtype) -> None:
    """Print what a second engine on the same device gains."""
    rows = drawn(size, 1, size.rows // 2)
    engines = [opened(built(size, device, dtype), size) for _ in range(2)]
    tokens = sum(len(row.ids) for row in rows)
    started = synchronised(engines[0].model.device)
    values_of(engines[0], rows)
    alone = synchronised(engines[0].model.device) - started
    parts = rows[::2], rows[1::2]
    threads = [threading.Thread(target=values_of, args=pair) for pair in zip(engines, parts, strict=True)]
    started = synchronised(engines[0].model.device)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    both = synchronised(engines[0].model.device) - started
    print(f"{name} engines on one device: one {tokens / alone:,.0f} tokens/s, two {tokens / both:,.0f}", flush=True)


def out_of_memory(name: str, size: Size, device: str, dtype: torch.dtype) -> None:
    """Fill the device but for 2 GiB, score with a budget that needs more, and print that the budget was halved."""
    engine = opened(built(size, device, dtype), size)
    rows = drawn(size, 1, 1000)
    expected = values_of(engine, rows)
    free, _ = torch.cuda.mem_get_info(engine.model.device)
    filling = torch.empty(max(free - 2 * 2**30, 0), dtype=torch.uint8, device=engine.model.device)
    budgets: list[int] = []
    hungry = replace(engine, options=Options(2**20, 1e-3, False, budgets.append))
    values = values_of(hungry, rows)
    del filling
    worst = float((values - expected).abs().max() / expected.abs().max())
    print(f"{name} out of memory: budget halved to {budgets}, values off by {worst:.1e} of the largest", flush=True)
    assert budgets, "memory was enough: nothing was tried"


def compiled(name: str, size: Size, device: str, dtype: torch.dtype) -> None:
    """Print what torch.compile gains on the body."""
    rows, batch = drawn(size, 1, size.rows), size.batches[0]
    tokens, spent = sum(len(row.ids) for row in rows), dict[str, float]()
    for label in ("plain", "compiled"):
        model = built(size, device, dtype)
        if label == "compiled":
            model.body.model = torch.compile(model.body.model, dynamic=True)
        for _ in range(2):
            started = synchronised(model.device)
            list(visit(model, rows, batch, lambda part, model=model: floor(model, part)))  # type: ignore[misc]
            spent[label] = synchronised(model.device) - started
    print(
        f"{name} torch.compile: plain {tokens / spent['plain']:,.0f} tokens/s,"
        f" compiled {tokens / spent['compiled']:,.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="", help="comma-separated; default: all, or tiny without an accelerator")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="also try torch.compile, which takes minutes")
    given = parser.parse_args()
    device = devices("auto")[0]
    has_accelerator = device != "cpu"
    sizes = SIZES if has_accelerator else TINY
    chosen = {name: (SIZES | TINY)[name] for name in given.sizes.split(",")} if given.sizes else sizes
    dtype = torch.bfloat16 if has_accelerator else torch.float32
    on = torch.cuda.get_device_name(0) if device.startswith("cuda") else device
    print(f"{on}, torch {torch.__version__}, {str(dtype).removeprefix('torch.')}", flush=True)
    first = next(iter(chosen))
    agreement(first, chosen[first], device, dtype)
    two_engines(first, chosen[first], device, dtype)
    if device.startswith("cuda"):
        out_of_memory(first, chosen[first], device, dtype)
    if given.compile:
        compiled(first, chosen[first], device, dtype)
    for name, size in chosen.items():
        measured(name, size, device, dtype, given.repeats)


if __name__ == "__main__":
    main()
