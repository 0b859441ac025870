"""Runs the model's body in batches within a token budget, and gives the states that predict the answer tokens.

Only those states go on to the head. Rows are padded on the right. In a causal model no position attends to its right,
so padding needs no mask, and a row's states do not depend on its batch. Rows with a common prefix (a system prompt, a
few-shot header, a picture) compute it once: its keys and values are kept, and the rest of each row attends to them.
Tests compare both with the row alone. Pictures are decoded and scaled in threads, AHEAD batches before they are needed.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from oresight.tasks.scoring.loaded import Loaded, weighted_sum
from oresight.tasks.scoring.memory import out_of_memory
from oresight.tasks.scoring.prompt import Encoded, common_prefix

Result = TypeVar("Result")
PAYS = 16
"""Shortest prefix, in tokens, that is shared. Below it, copying keys and values costs more than it saves."""
SPLIT = 256
"""Cost of one more family of rows, in tokens: it has its own prefix, and its last batch is not full."""
SEEING = 4
"""Extra cost of a picture's id, in tokens: the work of the picture's encoder."""
AHEAD = 2
"""Batches whose pictures are prepared before the model needs them."""
CONTEXT = 4
"""With a shared prefix, a batch may attend to this many times batch_tokens."""


class TooLong(ValueError):
    """One row alone does not fit into memory."""


@dataclass(frozen=True)
class Batch:
    """Rows that go through the body together, by position."""

    rows: list[int]
    shared: int = 0
    """How many ids all of them begin with, and compute once; 0 where nothing is shared."""


@dataclass(frozen=True)
class Answers:
    """The answer tokens of a few rows, one row after the other; T tokens in all."""

    rows: list[int]
    """Positions of these rows in the sequence given to `visit`. Rows of equal answer length are adjacent."""
    h_TD: Tensor
    """The state that predicts each token, as the head receives it, in float32 (float64 for a float64 model)."""
    y_T: Tensor
    """The tokens themselves, int64."""
    lengths: list[int]
    """How many tokens each row has; they add up to T."""
    text_ND: Tensor
    """For each row the mean of the states at all positions of its text, position i weighted by i + 1 (RDS+)."""

    def first(self) -> Tensor:
        """The state that predicts each row's first answer token [N, D]."""
        ends_N = torch.tensor(self.lengths).cumsum(0)
        return self.h_TD[(ends_N - torch.tensor(self.lengths)).to(self.h_TD.device)]

    def tiles(self, size: int) -> Iterator["Answers"]:
        """Pieces of at most `size` tokens, cut between rows. A longer row is a piece of its own."""
        first, begin, tokens = 0, 0, 0
        for i, length in enumerate([*self.lengths, size]):
            if tokens and (i == len(self.lengths) or tokens + length > size):
                piece = slice(begin, begin + tokens)
                yield Answers(
                    self.rows[first:i], self.h_TD[piece], self.y_T[piece], self.lengths[first:i], self.text_ND[first:i]
                )
                first, begin, tokens = i, begin + tokens, 0
            tokens += length


def batches(rows: Sequence[Encoded], batch_tokens: int, *, share: bool) -> list[Batch]:
    """Rows of similar length in batches of at most batch_tokens, padding included, the longest first.

    share: let rows with a common prefix compute it once.
    """
    result: list[Batch] = []
    if not rows:
        return result
    for group, shared in _families(rows) if share else [(list(range(len(rows))), 0)]:
        open_rows: list[int] = []
        for i in sorted(group, key=lambda i: -len(rows[i].ids)):
            length, n = len(rows[open_rows[0] if open_rows else i].ids), len(open_rows) + 1
            fits = n * (length - shared) <= batch_tokens and n * length <= CONTEXT * batch_tokens
            if open_rows and not (fits and (shared or n * length <= batch_tokens)):
                result.append(Batch(open_rows, shared))
                open_rows = []
            open_rows.append(i)
        result.append(Batch(open_rows, shared))
    return sorted(result, key=lambda batch: -len(rows[batch.rows[0]].ids))


def visit(
    model: Loaded,
    rows: Sequence[Encoded],
    batch_tokens: int,
    measure: Callable[[Answers], Result],
    on_halved: Callable[[int], None] = lambda _budget: None,
    only: Set[int] | None = None,
) -> Iterator[Result]:
    """Run the body over the rows, and yield the result of `measure` on the answer states, batch by batch.

    When memory runs out, the budget is halved, on_halved is called with it, and the batch is tried again in pieces.
    only: positions of rows; batches without any of these are left out. Raises TooLong when a row does not fit alone.
    """
    budget = batch_tokens
    made = batches(rows, budget, share=model.shares)
    todo = deque(batch for batch in made if only is None or not only.isdisjoint(batch.rows))
    with _PictureQueue(model, rows) as pictures:
        while todo:
            batch = todo.popleft()
            pictures.prepare([batch, *islice(todo, AHEAD)])
            try:
                result = measure(_answers(model, rows, batch, pictures.take(batch)))
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            else:
                yield result
                continue
            if len(batch.rows) == 1 and batch.shared == 0:
                length = len(rows[batch.rows[0]].ids)
                raise TooLong(
                    f"a row of {length} tokens does not fit into memory, even with scoring.batch_tokens lowered to one"
                    " row per batch; free memory, lower scoring.max_tokens, set model.dtype: bfloat16 or name a"
                    " smaller model"
                )
            budget = max(budget // 2, 1)
            on_halved(budget)
            model.release()
            left = sorted(i for b in (batch, *todo) for i in b.rows)
            pieces = batches([rows[i] for i in left], budget, share=model.shares and batch.shared == 0)
            todo = deque(Batch([left[i] for i in piece.rows], piece.shared) for piece in pieces)


class _PictureQueue:
    """Prepares the picture inputs of batches in threads, before the model needs them."""

    def __init__(self, model: Loaded, rows: Sequence[Encoded]) -> None:
        self.vision, self.rows = model.vision, rows
        self.pool = ThreadPoolExecutor(AHEAD) if model.vision else None
        self.ready: dict[int, tuple[Batch, Future[dict[str, Tensor]]]] = {}

    def __enter__(self) -> "_PictureQueue":
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool:
            self.pool.shutdown(cancel_futures=True)

    def prepare(self, coming: Sequence[Batch]) -> None:
        if self.pool:
            for batch in coming:
                if id(batch) not in self.ready:
                    self.ready[id(batch)] = batch, self.pool.submit(self._inputs, batch)

    def take(self, batch: Batch) -> dict[str, Tensor]:
        return self.ready.pop(id(batch))[1].result() if self.pool else {}

    def _inputs(self, batch: Batch) -> dict[str, Tensor]:
        """The picture inputs of the shared prefix, which holds all pictures or none; without a prefix, of the rows."""
        assert self.vision is not None
        order = computing_order(self.rows, batch)
        if batch.shared:
            first = self.rows[order[0]]
            return self.vision.inputs([first.pictures], [first.token_types], batch.shared)
        rows = [self.rows[i] for i in order]
        longest = max(len(row.ids) for row in rows)
        return self.vision.inputs([row.pictures for row in rows], [row.token_types for row in rows], longest)


def computing_order(rows: Sequence[Encoded], batch: Batch) -> list[int]:
    """The rows of a batch in the order in which they are computed: rows of equal answer length are adjacent."""
    return sorted(batch.rows, key=lambda i: -len(rows[i].answer))


def _answers(model: Loaded, rows: Sequence[Encoded], batch: Batch, pictures: dict[str, Tensor]) -> Answers:
    """The states of the answer positions of one batch. pictures: the inputs that the model needs for its pictures."""
    order, skip = computing_order(rows, batch), batch.shared
    lines: list[int] = []
    positions: list[int] = []
    if model.start_token is None:
        ids = _padded([rows[i].ids[skip:] for i in order])
        first = [rows[i].start - 1 - skip for i in order]  # the state at position i predicts the token at i + 1
        first_row = rows[order[0]]
        past = model.prefix(first_row.ids[:skip], first_row.key[:skip], pictures) if skip else None
        h_NLD = model.states(ids, past=past, pictures=None if skip else pictures)
        sum_ND = weighted_sum(h_NLD, [len(rows[i].ids) - skip for i in order], skip)
        text_ND = _mean(sum_ND + model.prefix_sum if skip else sum_ND, [len(rows[i].ids) for i in order])
    else:
        first = [0] * len(order)  # the decoder's position j predicts answer token j
        sources = [rows[i].ids[: rows[i].start] for i in order]
        targets = [[model.start_token, *rows[i].answer[:-1]] for i in order]
        h_NLD = model.states(_padded(sources), lengths=[len(s) for s in sources], decoder=_padded(targets))
        text_ND = _mean(weighted_sum(h_NLD, [len(t) for t in targets]), [len(t) for t in targets])
    for line, (i, begin) in enumerate(zip(order, first, strict=True)):
        lines += [line] * len(rows[i].answer)
        positions += range(begin, begin + len(rows[i].answer))
    h_TD = h_NLD[torch.tensor(lines, device=model.device), torch.tensor(positions, device=model.device)]
    wide = h_TD if h_TD.dtype == torch.float64 else h_TD.float()
    y_T = torch.tensor([token for i in order for token in rows[i].answer], device=model.device)
    return Answers(order, wide, y_T, [len(rows[i].answer) for i in order], text_ND)


def _mean(sum_ND: Tensor, lengths: Sequence[int]) -> Tensor:
    """Weighted sums over whole texts of so many positions, divided by their weights 1 + 2 + ... + length."""
    weight_N = torch.tensor([n * (n + 1) / 2 for n in lengths], device=sum_ND.device, dtype=sum_ND.dtype)
    return sum_ND / weight_N[:, None]


def _families(rows: Sequence[Encoded]) -> list[tuple[list[int], int]]:
    """Rows grouped by their common prefix of ids and pictures, and its length; 0 where sharing it saves too little.

    Sorted by their ids, rows with a long common prefix are adjacent. A row joins the family before it unless that
    lowers the tokens saved, (rows - 1) * prefix, by more than the cost of a family of its own.
    """
    keys = [row.key for row in rows]
    order = sorted(range(len(rows)), key=lambda i: keys[i])
    families: list[tuple[list[int], int]] = []
    for i in order:
        own = rows[i].start - 1  # each row computes the state that predicts its first answer token itself
        if families:
            group, shared = families[-1]
            common = min(common_prefix(keys[group[-1]], keys[i]), own, shared)
            holds_pictures = common >= max(rows[group[0]].pictures_end, rows[i].pictures_end)
            if holds_pictures and common >= PAYS and len(group) * common + SPLIT >= (len(group) - 1) * shared:
                families[-1] = ([*group, i], common)
                continue
        families.append(([i], own))
    pays = [(len(g) - 1) * (shared + SEEING * len(rows[g[0]].picture_positions)) >= SPLIT for g, shared in families]
    sharing = [family for family, is_worth_it in zip(families, pays, strict=True) if is_worth_it]
    rest = [i for (group, _), is_worth_it in zip(families, pays, strict=True) if not is_worth_it for i in group]
    return [*sharing, *([(rest, 0)] if rest else [])]


def _padded(ids: Sequence[Sequence[int]]) -> Tensor:
    """[rows, longest], zeros on the right."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in ids], batch_first=True)
