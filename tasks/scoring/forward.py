"""Token-budget batches -> the states that predict the answer tokens. Only those go on to the head.

Rows are padded on the right. In a causal model no position sees what lies to its right, so padding needs no mask and a
row's states do not depend on its batch. Rows that begin alike (a system prompt, a few-shot header) compute that prefix
once: its keys and values are kept, and the rest of each row attends to them. So do questions on one picture. Tests
compare both with the row alone. Pictures are decoded and scaled in threads, AHEAD batches before the model needs them.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.prompt import Encoded, common_prefix

Found = TypeVar("Found")
PAYS = 16
"""A shared prefix is kept once it saves each of its rows so many tokens; below that the copying costs more."""
SPLIT = 256
"""Another family of rows costs about so many tokens: its prefix, and batches that are not full."""
SEEING = 4
"""An id of a picture costs about so many tokens more, in the picture's encoder."""
AHEAD = 2
"""Batches whose pictures are made ready before their turn."""
CONTEXT = 4
"""With a shared prefix, a batch may attend to so many times batch_tokens."""


class TooLong(ValueError):
    """One row alone does not fit into memory."""


@dataclass(frozen=True)
class Batch:
    """Rows that go through the body together, by position, and how many ids they all begin with."""

    rows: list[int]
    shared: int = 0


@dataclass(frozen=True)
class Answers:
    """The answer tokens of a few rows, one row after the other; T of them in all."""

    rows: list[int]
    """Positions of these rows in the sequence that was asked for; rows with as many answer tokens stand together."""
    h_TD: Tensor
    """The state that predicts each token, as the head receives it, in float32 (float64 for a float64 model)."""
    y_T: Tensor
    """The tokens themselves, int64."""
    lengths: list[int]
    """How many tokens each row has; they add up to T."""

    def first(self) -> Tensor:
        """The state that predicts each row's first answer token [N, D]."""
        ends_N = torch.tensor(self.lengths).cumsum(0)
        return self.h_TD[(ends_N - torch.tensor(self.lengths)).to(self.h_TD.device)]

    def tiles(self, size: int) -> Iterator["Answers"]:
        """Cut between rows into pieces of at most `size` tokens; a longer row is a piece of its own."""
        first, begin, have = 0, 0, 0
        for i, length in enumerate([*self.lengths, size]):
            if have and (i == len(self.lengths) or have + length > size):
                here = slice(begin, begin + have)
                yield Answers(self.rows[first:i], self.h_TD[here], self.y_T[here], self.lengths[first:i])
                first, begin, have = i, begin + have, 0
            have += length


def batches(rows: Sequence[Encoded], batch_tokens: int, *, share: bool) -> list[Batch]:
    """Rows of similar length in batches of at most batch_tokens, padding included, the longest first."""
    found: list[Batch] = []
    if not rows:
        return found
    for group, shared in _families(rows) if share else [(list(range(len(rows))), 0)]:
        open_rows: list[int] = []
        for i in sorted(group, key=lambda i: -len(rows[i].ids)):
            length, n = len(rows[open_rows[0] if open_rows else i].ids), len(open_rows) + 1
            fits = n * (length - shared) <= batch_tokens and n * length <= CONTEXT * batch_tokens
            if open_rows and not (fits and (shared or n * length <= batch_tokens)):
                found.append(Batch(open_rows, shared))
                open_rows = []
            open_rows.append(i)
        found.append(Batch(open_rows, shared))
    return sorted(found, key=lambda batch: -len(rows[batch.rows[0]].ids))


def visit(
    model: Loaded,
    rows: Sequence[Encoded],
    batch_tokens: int,
    measure: Callable[[Answers], Found],
    on_halved: Callable[[int], None] = lambda _budget: None,
) -> Iterator[Found]:
    """Run the body over the rows, and give what `measure` makes of the answer states, batch by batch.

    When memory runs out the budget is halved, on_halved is told, and the batch goes again in pieces. Raises TooLong
    when a row does not fit alone.
    """
    budget = batch_tokens
    todo = deque(batches(rows, budget, share=model.shares))
    with _Ahead(model, rows) as ahead:
        while todo:
            batch = todo.popleft()
            ahead.prepare([batch, *islice(todo, AHEAD)])
            try:
                found = measure(_answers(model, rows, batch, ahead.take(batch)))
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
            else:
                yield found
                continue
            if len(batch.rows) == 1 and batch.shared == 0:
                length = len(rows[batch.rows[0]].ids)
                raise TooLong(
                    f"a row of {length} tokens does not fit into memory, with scoring.batch_tokens down to one row at a"
                    " time; free memory, lower scoring.max_tokens, give model.dtype: bfloat16 or name a smaller model"
                )
            budget = max(budget // 2, 1)
            on_halved(budget)
            model.release()
            waiting = sorted(i for b in (batch, *todo) for i in b.rows)
            pieces = batches([rows[i] for i in waiting], budget, share=model.shares and batch.shared == 0)
            todo = deque(Batch([waiting[i] for i in piece.rows], piece.shared) for piece in pieces)


class _Ahead:
    """What batches need of their pictures, made in threads before their turn."""

    def __init__(self, model: Loaded, rows: Sequence[Encoded]) -> None:
        self.vision, self.rows = model.vision, rows
        self.pool = ThreadPoolExecutor(AHEAD) if model.vision else None
        self.ready: dict[int, tuple[Batch, Future[dict[str, Tensor]]]] = {}

    def __enter__(self) -> "_Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool:
            self.pool.shutdown(cancel_futures=True)

    def prepare(self, coming: Sequence[Batch]) -> None:
        if self.pool:
            for batch in coming:
                if id(batch) not in self.ready:
                    self.ready[id(batch)] = batch, self.pool.submit(self._seen, batch)

    def take(self, batch: Batch) -> dict[str, Tensor]:
        return self.ready.pop(id(batch))[1].result() if self.pool else {}

    def _seen(self, batch: Batch) -> dict[str, Tensor]:
        """Of the shared prefix, which holds all pictures if it holds one; else of the rows."""
        assert self.vision is not None
        order = in_order(self.rows, batch)
        if batch.shared:
            one = self.rows[order[0]]
            return self.vision.inputs([one.pictures], [one.kinds], batch.shared)
        shown = [self.rows[i] for i in order]
        longest = max(len(row.ids) for row in shown)
        return self.vision.inputs([row.pictures for row in shown], [row.kinds for row in shown], longest)


def in_order(rows: Sequence[Encoded], batch: Batch) -> list[int]:
    """The rows of a batch as they are computed: with as many answer tokens side by side."""
    return sorted(batch.rows, key=lambda i: -len(rows[i].answer))


def _answers(model: Loaded, rows: Sequence[Encoded], batch: Batch, seen: dict[str, Tensor]) -> Answers:
    """The states of the answer positions of one batch."""
    order, skip = in_order(rows, batch), batch.shared
    lines: list[int] = []
    positions: list[int] = []
    if model.start_token is None:
        ids = _padded([rows[i].ids[skip:] for i in order])
        first = [rows[i].start - 1 - skip for i in order]  # the state at position i predicts the token at i + 1
        one = rows[order[0]]
        past = model.prefix(one.ids[:skip], one.key[:skip], seen) if skip else None
        h_NLD = model.states(ids, past=past, seen=None if skip else seen)
    else:
        first = [0] * len(order)  # the decoder's position j predicts answer token j
        sources = [rows[i].ids[: rows[i].start] for i in order]
        targets = [[model.start_token, *rows[i].answer[:-1]] for i in order]
        h_NLD = model.states(_padded(sources), lengths=[len(s) for s in sources], decoder=_padded(targets))
    for place, (i, begin) in enumerate(zip(order, first, strict=True)):
        lines += [place] * len(rows[i].answer)
        positions += range(begin, begin + len(rows[i].answer))
    h_TD = h_NLD[torch.tensor(lines, device=model.device), torch.tensor(positions, device=model.device)]
    wide = h_TD if h_TD.dtype == torch.float64 else h_TD.float()
    y_T = torch.tensor([token for i in order for token in rows[i].answer], device=model.device)
    return Answers(order, wide, y_T, [len(rows[i].answer) for i in order])


def _families(rows: Sequence[Encoded]) -> list[tuple[list[int], int]]:
    """Rows grouped by what they begin with, ids and pictures, and how many ids those are; 0 where it would not pay.

    In the order of their ids, rows with a long common prefix are neighbours. A row joins the family before it as long
    as that does not lower the number of tokens saved, (rows - 1) * prefix, by more than a family of its own costs.
    """
    keys = [row.key for row in rows]
    order = sorted(range(len(rows)), key=lambda i: keys[i])
    families: list[tuple[list[int], int]] = []
    for i in order:
        own = rows[i].start - 1  # the state that predicts the first answer token is each row's own
        if families:
            group, shared = families[-1]
            common = min(common_prefix(keys[group[-1]], keys[i]), own, shared)
            whole = common >= max(rows[group[0]].seen, rows[i].seen)
            if whole and common >= PAYS and len(group) * common + SPLIT >= (len(group) - 1) * shared:
                families[-1] = ([*group, i], common)
                continue
        families.append(([i], own))
    pays = [(len(g) - 1) * (shared + SEEING * len(rows[g[0]].places)) >= SPLIT for g, shared in families]
    shared_rows = [family for family, enough in zip(families, pays, strict=True) if enough]
    rest = [i for (group, _), enough in zip(families, pays, strict=True) if not enough for i in group]
    return [*shared_rows, *([(rest, 0)] if rest else [])]


def _padded(ids: Sequence[Sequence[int]]) -> Tensor:
    """[rows, longest], zeros on the right."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in ids], batch_first=True)


def _out_of_memory(error: BaseException) -> bool:
    """torch has a class for it on accelerators only; on a CPU it is a RuntimeError that says so."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return "not enough memory" in str(error) or "can't allocate memory" in str(error)
