"""What opening an engine and scoring with it will take, from a few rows that are really scored.

Seconds of scoring follow the ids that go through the body, padding included and shared beginnings once. So batches are
made as a run makes them, some of them are scored, and what they take for an id holds for all. Only the fits of the
index and of the reference do not follow it: they are made on made-up states, drawn from real ones with noise, as their
time hangs on the number of tokens and not on what these say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from oresight.tasks.scoring.engine import HELD, HELD_TOKENS, KEEP, Engine, Options, open_engine
from oresight.tasks.scoring.formula import Head
from oresight.tasks.scoring.forward import SEEING, Answers, Batch, batches, visit
from oresight.tasks.scoring.index import K1, K2, STATE, TOKENS, Basis, M, fit_basis
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.reference import Reference, fit
from oresight.tasks.scoring.signals import Gauge, Signals
from oresight.tasks.workload.clock import Clock

PACED_S = 8.0
"""Seconds that rows are scored for."""
PIECE_S = 2.0
"""A batch that would take longer is cut."""
FEW, FEW_TOKENS = 4, 128
"""Rows of the reference and of the dataset each, and answer tokens of them, that the engine is opened on."""
SOME = 512
"""Answer tokens that fits are timed on, and half and twice as many."""
WARM = 32
NOISE = 0.1


@dataclass(frozen=True)
class Task:
    """What a run would do, as ids."""

    reference: Sequence[Encoded]
    opening: Sequence[Encoded]
    rest: Sequence[Encoded]
    """A sample of the rows that are scored after the opening."""
    share: float
    """How large a share of them it is."""


@dataclass(frozen=True)
class Paced:
    """Rows that were scored: their signals by position, seconds, ids that went through the body."""

    signals: list[Signals]
    seconds: float
    ids: int
    room: int
    """Bytes that a whole batch needs beyond those that were cut."""


@dataclass(frozen=True)
class Cost:
    """Seconds of computing, and bytes that a run keeps in memory beyond what the probe did."""

    opening_s: float
    rest_s: float
    more_bytes: int
    peak: int
    """Bytes where the model runs."""
    engine: Engine
    paced: Paced
    """Rows of `opening`, then of `rest`; rows of the reference if there are neither."""


def cost(model: Loaded, task: Task, options: Options, basis: Basis | None, form: tuple[int, int] | None) -> Cost:
    """Measure what a run would take; where there is a basis, the index is fitted already."""
    clock, head = Clock(model.device), model.head
    reference, opening = _few(task.reference), _few(task.opening)
    like = Like(list(visit(model, [*reference, *opening], options.batch_tokens, lambda part: part)))
    kept, held = _first(task.reference, KEEP), min(HELD, len(task.opening) // 2)
    trusted, fitted_on = _answers(kept), len(task.opening) - held + len(kept) // 2
    index_s, more = 0.0, 4 * (trusted + _answers(task.opening)) * head.weight_VD.shape[1]
    if basis is None:
        basis, index_s = _index(head, like, clock, _answers(task.opening[held:]) + trusted // 2)
        basis = _whole(basis, fitted_on)
        more += 12 * fitted_on * K1 * K2  # the rows' outer products, in float32 and in float64
    engine = open_engine(model, reference, opening, options, basis=basis, form=form).engine
    probe = min(_answers(task.opening[:held]) or trusted // 2, HELD_TOKENS)
    reference_s = _fits(engine, like, clock, _answers(task.reference), probe)
    paced = _paced(engine, [*task.opening, *task.rest] or task.reference, clock)
    pace = paced.seconds / paced.ids
    ids = sum(work(model, rows, options) for rows in (task.reference, task.opening))
    ids += through(model, task.reference[len(kept) :], options)  # once for the fit, once more to be valued
    rest_s = pace * work(model, task.rest, options) / task.share
    return Cost(index_s + reference_s + pace * ids, rest_s, more + paced.room, clock.peak(), engine, paced)


class Like:
    """Answer states like those of a few rows, as many as are wanted."""

    def __init__(self, parts: Sequence[Answers]) -> None:
        self.h_TD = torch.cat([part.h_TD for part in parts])
        self.y_T = torch.cat([part.y_T for part in parts])
        self.length = max(len(self.y_T) // sum(len(part.rows) for part in parts), 1)

    def answers(self, tokens: int) -> Answers:
        """Rows of as many tokens as those few have on average."""
        draw = torch.Generator().manual_seed(0)
        place_T = torch.randint(len(self.y_T), (tokens,), generator=draw).to(self.y_T.device)
        noise_TD = torch.randn(tokens, self.h_TD.shape[1], generator=draw).to(self.h_TD)
        lengths = [self.length] * (tokens // self.length) + ([tokens % self.length] if tokens % self.length else [])
        h_TD = self.h_TD[place_T] + NOISE * self.h_TD.std() * noise_TD
        return Answers(list(range(len(lengths))), h_TD, self.y_T[place_T], lengths)


def work(model: Loaded, rows: Sequence[Encoded], options: Options) -> int:
    """Ids that go through the body until these rows have all their signals."""
    total = 0
    for batch in batches(rows, options.batch_tokens, share=model.shares):
        here = [rows[i] for i in batch.rows]
        total += _ids(batch, rows)
        if options.conditional_gain:
            total += through(model, [row.alone() for row in here], options)
            total += through(model, [row.blanked() for row in here if row.pictures], options)
    return total


def through(model: Loaded, rows: Sequence[Encoded], options: Options) -> int:
    """Ids that go through the body when these rows go through it once."""
    return sum(_ids(batch, rows) for batch in batches(rows, options.batch_tokens, share=model.shares))


def _ids(batch: Batch, rows: Sequence[Encoded]) -> int:
    """Of one batch, with what its pictures cost in their encoder."""
    here = [rows[i] for i in batch.rows]
    seen = [len(row.picture_positions) for row in (here[:1] if batch.shared else here)]
    longest = max(len(row.ids) for row in here)
    return batch.shared + len(here) * (longest - batch.shared) + SEEING * sum(seen)


def _index(head: Head, like: Like, clock: Clock, tokens: int) -> tuple[Basis, float]:
    """A basis, and what fitting one on so many tokens takes: a tokens + b tokens^2 up to TOKENS, then by the token."""
    fit_basis([like.answers(min(WARM, tokens))], head)
    half, double = (like.answers(min(size, tokens)) for size in (SOME, 2 * SOME))
    _, less_s = clock.timed(lambda: fit_basis([half], head))
    basis, more_s = clock.timed(lambda: fit_basis([double], head))
    if tokens <= 2 * SOME:
        return basis, more_s
    square = max(more_s - 2 * less_s, 0.0) / (2 * SOME**2)
    line, fitted = more_s / (2 * SOME) - 2 * SOME * square, min(tokens, TOKENS)
    _, half_s = clock.timed(lambda: basis.of(half, head))
    return basis, line * fitted + square * fitted**2 + half_s / SOME * (tokens - fitted)


def _whole(basis: Basis, rows: int) -> Basis:
    """As long as a basis is that is fitted on so many rows, so that vectors and what is stored are."""
    draw = torch.Generator().manual_seed(0)

    def longer(x: torch.Tensor, size: int) -> torch.Tensor:
        more = torch.randn(max(size - len(x), 0), x.shape[1], generator=draw) / x.shape[1] ** 0.5
        return torch.cat([x, more.to(x)])

    width = basis.state_DS.shape[0]
    state_DS = longer(basis.state_DS.T, min(STATE, rows, width)).T.contiguous()
    return replace(basis, mix_MK=longer(basis.mix_MK, min(M, rows)), state_DS=state_DS)


def _fits(engine: Engine, like: Like, clock: Clock, tokens: int, probe: int) -> float:
    """What it takes to fit the reference on so many answer tokens, and to value these exactly rather than cheaply."""
    head, (less, more) = engine.model.head, (min(size, tokens) for size in (SOME // 2, SOME))

    def fitted(size: int) -> tuple[Reference, float]:
        asked, sample = like.answers(max(round(probe * size / tokens), 1)), like.answers(size)
        tolerance = engine.options.rank_tolerance
        return clock.timed(lambda: fit(head, [sample], probe=[asked], tolerance=tolerance)[0])

    fitted(min(WARM, tokens))
    _, less_s = fitted(less)
    exact, more_s = fitted(more)
    slope = max(more_s - less_s, 0.0) / max(more - less, 1)
    sample, gauge = like.answers(SOME // 2), Gauge.of(head, exact, engine.gauge.basis)
    _, cheap_s = clock.timed(lambda: engine.gauge.measure(sample))
    _, exact_s = clock.timed(lambda: gauge.measure(sample))
    return more_s + slope * (tokens - more) + max(exact_s - cheap_s, 0.0) * tokens / (SOME // 2)


def _paced(engine: Engine, rows: Sequence[Encoded], clock: Clock) -> Paced:
    """Score batches from all over the rows for PACED_S seconds; one that would take longer than PIECE_S is cut."""
    todo = batches(rows, engine.options.batch_tokens, share=engine.model.shares)
    least = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))[:FEW]

    def score(piece: list[int]) -> Paced:
        some, before = [rows[i] for i in piece], clock.peak()
        found, seconds = clock.timed(lambda: [one for part in engine.score(some) for one in part])
        here, once = work(engine.model, some, engine.options), through(engine.model, some, engine.options)
        room = max(engine.options.batch_tokens / once - 1, 0.0) * (clock.peak() - before)
        return Paced([replace(one, row=piece[one.row]) for one in found], seconds, here, round(room))

    total, first = Paced([], 0.0, 0, 0), score(least)
    pace = first.seconds / first.ids
    for place in _spread(len(todo)):
        piece = todo[place].rows
        while (takes := pace * work(engine.model, [rows[i] for i in piece], engine.options)) > PIECE_S and piece[1:]:
            piece = piece[: len(piece) // 2]
        if takes > PACED_S / 2:
            continue  # one row that is too long to be tried; shorter ones tell enough
        one = score(piece)
        total = Paced(
            [*total.signals, *one.signals], total.seconds + one.seconds, total.ids + one.ids, max(total.room, one.room)
        )
        pace = total.seconds / total.ids
        if total.seconds > PACED_S:
            break
    return total if total.signals else first


def _spread(n: int) -> list[int]:
    """0 to n - 1, so ordered that the first few are from all over."""
    bits = max(n - 1, 1).bit_length()
    turned = (int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits))
    return [i for i in turned if i < n]


def _first(rows: Sequence[Encoded], tokens: int) -> Sequence[Encoded]:
    """Rows, from the first, with at most so many answer tokens; at least one."""
    have = 0
    for i, row in enumerate(rows):
        have += row.end - row.start
        if have > tokens:
            return rows[: max(i, 1)]
    return rows


def _few(rows: Sequence[Encoded]) -> Sequence[Encoded]:
    return _first(rows[:FEW], FEW_TOKENS)


def _answers(rows: Sequence[Encoded]) -> int:
    return sum(row.end - row.start for row in rows)
