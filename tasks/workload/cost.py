"""Estimates the seconds and bytes of a scoring run from a few rows that are really scored.

Seconds of scoring are proportional to the token ids that go through the body, padding included and shared beginnings
once. So batches are made as a run makes them, some of them are scored, and their seconds per id hold for all. Only the
fits of the index and of the reference follow another law. They are timed on synthetic states, which are real states
with noise, because their time depends on the number of tokens and not on what the tokens say.
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

SAMPLE_S = 8.0
"""Seconds that sample rows are scored for."""
PIECE_S = 2.0
"""A batch that would take longer is cut."""
FEW_ROWS, FEW_TOKENS = 4, 128
"""Rows of the reference and of the dataset each, and their answer tokens, that the engine is opened on."""
FIT_TOKENS = 512
"""Answer tokens that fits are timed on, and half and twice as many."""
WARM_UP_TOKENS = 32
NOISE = 0.1
"""Standard deviation of the noise in synthetic states, as a share of that of real states."""


@dataclass(frozen=True)
class Workload:
    """The rows that a run would score, as token ids."""

    reference: Sequence[Encoded]
    opening: Sequence[Encoded]
    rest: Sequence[Encoded]
    """A sample of the rows that are scored after the opening."""
    share: float
    """Share of those rows that the sample is."""


@dataclass(frozen=True)
class ScoredSample:
    """Sample rows that were scored, with what that took."""

    signals: list[Signals]
    """Signals by the position of the row."""
    seconds: float
    ids: int
    """Token ids that went through the body."""
    room: int
    """Bytes that a whole batch needs beyond those that cut batches needed."""


@dataclass(frozen=True)
class Cost:
    """Seconds of computing, and bytes that a run keeps in memory beyond those of the probe."""

    opening_s: float
    rest_s: float
    more_bytes: int
    peak: int
    """Most bytes so far, where the model runs."""
    engine: Engine
    sample: ScoredSample
    """Rows of `opening`, then of `rest`; rows of the reference if there are neither."""


def cost(
    model: Loaded,
    workload: Workload,
    options: Options,
    *,
    basis: Basis | None,
    form: tuple[int, int] | None,
    fitted: bytes | None,
) -> Cost:
    """Measure what a run would take. With a basis, the index counts as fitted already.

    form: tokens and rank of the reference's cheap form, where this reference was used before. fitted: its fit, where
    that is stored; then nothing is fitted.
    """
    clock, head = Clock(model.device), model.head
    if fitted:
        engine = Engine.of(model, fitted, options)
        sample = _score_sample(engine, workload.rest, clock) if workload.rest else ScoredSample([], 0.0, 1, 0)
        rest_s = sample.seconds / sample.ids * scoring_ids(model, workload.rest, options) / workload.share
        return Cost(
            opening_s=0.0, rest_s=rest_s, more_bytes=sample.room, peak=clock.peak(), engine=engine, sample=sample
        )
    reference, opening = _few(workload.reference), _few(workload.opening)
    states = SyntheticStates(list(visit(model, [*reference, *opening], options.batch_tokens, lambda part: part)))
    kept, held = _leading(workload.reference, KEEP), min(HELD, len(workload.opening) // 2)
    trusted, fitted_on = _answer_tokens(kept), len(workload.opening) - held + len(kept) // 2
    index_s, more = 0.0, 4 * (trusted + _answer_tokens(workload.opening)) * head.weight_VD.shape[1]
    if basis is None:
        basis, index_s = _time_index(head, states, clock, _answer_tokens(workload.opening[held:]) + trusted // 2)
        basis = _lengthened(basis, fitted_on)
        more += 12 * fitted_on * K1 * K2  # the rows' outer products, in float32 and in float64
    engine = open_engine(
        model=model, reference=reference, opening=opening, options=options, basis=basis, form=form
    ).engine
    probe = min(_answer_tokens(workload.opening[:held]) or trusted // 2, HELD_TOKENS)
    reference_s = 0.0
    if reference:
        reference_s = _time_reference(engine, states, clock, _answer_tokens(workload.reference), probe)
    sample = _score_sample(engine, [*workload.opening, *workload.rest] or workload.reference, clock)
    pace = sample.seconds / sample.ids
    ids = sum(scoring_ids(model, rows, options) for rows in (workload.reference, workload.opening))
    ids += forward_ids(model, workload.reference[len(kept) :], options)  # once for the fit, once more to be valued
    return Cost(
        opening_s=index_s + reference_s + pace * ids,
        rest_s=pace * scoring_ids(model, workload.rest, options) / workload.share,
        more_bytes=more + sample.room,
        peak=clock.peak(),
        engine=engine,
        sample=sample,
    )


class SyntheticStates:
    """Any number of answer states that resemble those of a few real rows."""

    def __init__(self, parts: Sequence[Answers]) -> None:
        self.h_TD = torch.cat([part.h_TD for part in parts])
        self.y_T = torch.cat([part.y_T for part in parts])
        self.text_ND = torch.cat([part.text_ND for part in parts])
        self.length = max(len(self.y_T) // sum(len(part.rows) for part in parts), 1)

    def answers(self, tokens: int) -> Answers:
        """Rows with this many answer tokens in all; each is as long as the real rows are on average."""
        draw = torch.Generator().manual_seed(0)
        real_T = torch.randint(len(self.y_T), (tokens,), generator=draw).to(self.y_T.device)
        noise_TD = torch.randn(tokens, self.h_TD.shape[1], generator=draw).to(self.h_TD)
        lengths = [self.length] * (tokens // self.length) + ([tokens % self.length] if tokens % self.length else [])
        h_TD = self.h_TD[real_T] + NOISE * self.h_TD.std() * noise_TD
        text_ND = self.text_ND[torch.arange(len(lengths)) % len(self.text_ND)]
        return Answers(list(range(len(lengths))), h_TD, self.y_T[real_T], lengths, text_ND)


def scoring_ids(model: Loaded, rows: Sequence[Encoded], options: Options) -> int:
    """Token ids that go through the body until these rows have all their signals."""
    total = 0
    for batch in batches(rows, options.batch_tokens, share=model.shares):
        in_batch = [rows[i] for i in batch.rows]
        total += _batch_ids(batch, rows)
        if options.conditional_gain:
            total += forward_ids(model, [row.alone() for row in in_batch], options)
            total += forward_ids(model, [row.blanked() for row in in_batch if row.pictures], options)
    return total


def forward_ids(model: Loaded, rows: Sequence[Encoded], options: Options) -> int:
    """Token ids that go through the body in one forward pass of these rows."""
    return sum(_batch_ids(batch, rows) for batch in batches(rows, options.batch_tokens, share=model.shares))


def _batch_ids(batch: Batch, rows: Sequence[Encoded]) -> int:
    """Token ids of one batch, with the cost of its pictures in their encoder, in ids."""
    in_batch = [rows[i] for i in batch.rows]
    picture_tokens = [len(row.picture_positions) for row in (in_batch[:1] if batch.shared else in_batch)]
    longest = max(len(row.ids) for row in in_batch)
    return batch.shared + len(in_batch) * (longest - batch.shared) + SEEING * sum(picture_tokens)


def _time_index(head: Head, states: SyntheticStates, clock: Clock, tokens: int) -> tuple[Basis, float]:
    """A basis, and the seconds of fitting one on this many tokens.

    The law is a tokens + b tokens^2 up to TOKENS tokens, and linear in the tokens beyond.
    """
    fit_basis([states.answers(min(WARM_UP_TOKENS, tokens))], head)
    half, double = (states.answers(min(size, tokens)) for size in (FIT_TOKENS, 2 * FIT_TOKENS))
    _, less_s = clock.timed(lambda: fit_basis([half], head))
    basis, more_s = clock.timed(lambda: fit_basis([double], head))
    if tokens <= 2 * FIT_TOKENS:
        return basis, more_s
    quadratic = max(more_s - 2 * less_s, 0.0) / (2 * FIT_TOKENS**2)
    linear, fitted = more_s / (2 * FIT_TOKENS) - 2 * FIT_TOKENS * quadratic, min(tokens, TOKENS)
    _, half_s = clock.timed(lambda: basis.of(half, head))
    return basis, linear * fitted + quadratic * fitted**2 + half_s / FIT_TOKENS * (tokens - fitted)


def _lengthened(basis: Basis, rows: int) -> Basis:
    """The basis with random directions added, until it has as many as one that is fitted on this many rows.

    Vectors, and what is stored of them, then have the size that they have in a run.
    """
    draw = torch.Generator().manual_seed(0)

    def longer(x: torch.Tensor, size: int) -> torch.Tensor:
        more = torch.randn(max(size - len(x), 0), x.shape[1], generator=draw) / x.shape[1] ** 0.5
        return torch.cat([x, more.to(x)])

    states = min(STATE, rows, basis.state_DS.shape[0])
    state_DS, text_DS = (longer(x_DS.T, states).T.contiguous() for x_DS in (basis.state_DS, basis.text_DS))
    return replace(basis, mix_MK=longer(basis.mix_MK, min(M, rows)), state_DS=state_DS, text_DS=text_DS)


def _time_reference(engine: Engine, states: SyntheticStates, clock: Clock, tokens: int, probe: int) -> float:
    """Seconds of fitting the reference on this many answer tokens, and of valuing these exactly instead of cheaply.

    probe: answer tokens on which the reference's cheap form is chosen.
    """
    head, (less, more) = engine.model.head, (min(size, tokens) for size in (FIT_TOKENS // 2, FIT_TOKENS))

    def fitted(size: int) -> tuple[Reference, float]:
        probe_states, sample = states.answers(max(round(probe * size / tokens), 1)), states.answers(size)
        tolerance = engine.options.rank_tolerance
        return clock.timed(lambda: fit(head, [sample], probe=[probe_states], tolerance=tolerance)[0])

    fitted(min(WARM_UP_TOKENS, tokens))
    _, less_s = fitted(less)
    exact, more_s = fitted(more)
    slope = max(more_s - less_s, 0.0) / max(more - less, 1)
    sample, gauge = states.answers(FIT_TOKENS // 2), Gauge.of(head, exact, engine.gauge.basis)
    _, cheap_s = clock.timed(lambda: engine.gauge.measure(sample))
    _, exact_s = clock.timed(lambda: gauge.measure(sample))
    return more_s + slope * (tokens - more) + max(exact_s - cheap_s, 0.0) * tokens / (FIT_TOKENS // 2)


def _score_sample(engine: Engine, rows: Sequence[Encoded], clock: Clock) -> ScoredSample:
    """Score batches from all over the rows for SAMPLE_S seconds. A batch that would take longer than PIECE_S is cut."""
    todo = batches(rows, engine.options.batch_tokens, share=engine.model.shares)
    shortest = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))[:FEW_ROWS]

    def score(piece: list[int]) -> ScoredSample:
        piece_rows, before = [rows[i] for i in piece], clock.peak()
        signals, seconds = clock.timed(lambda: [row for batch in engine.score(piece_rows) for row in batch])
        ids = scoring_ids(engine.model, piece_rows, engine.options)
        once = forward_ids(engine.model, piece_rows, engine.options)
        room = max(engine.options.batch_tokens / once - 1, 0.0) * (clock.peak() - before)
        return ScoredSample([replace(row, row=piece[row.row]) for row in signals], seconds, ids, round(room))

    total, first = ScoredSample([], 0.0, 0, 0), score(shortest)
    pace = first.seconds / first.ids
    for position in _spread_order(len(todo)):
        piece = todo[position].rows
        while (takes := pace * scoring_ids(engine.model, [rows[i] for i in piece], engine.options)) > PIECE_S:
            if len(piece) == 1:
                break
            piece = piece[: len(piece) // 2]
        if takes > SAMPLE_S / 2:
            continue  # a single row that takes too long; shorter rows give the pace
        part = score(piece)
        total = ScoredSample(
            signals=[*total.signals, *part.signals],
            seconds=total.seconds + part.seconds,
            ids=total.ids + part.ids,
            room=max(total.room, part.room),
        )
        pace = total.seconds / total.ids
        if total.seconds > SAMPLE_S:
            break
    return total if total.signals else first


def _spread_order(n: int) -> list[int]:
    """The numbers 0 to n - 1 in bit-reversed order, so that the first few are from all over the range."""
    bits = max(n - 1, 1).bit_length()
    reversed_bits = (int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits))
    return [i for i in reversed_bits if i < n]


def _leading(rows: Sequence[Encoded], tokens: int) -> Sequence[Encoded]:
    """The leading rows with at most this many answer tokens in all; at least one row."""
    total = 0
    for i, row in enumerate(rows):
        total += row.end - row.start
        if total > tokens:
            return rows[: max(i, 1)]
    return rows


def _few(rows: Sequence[Encoded]) -> Sequence[Encoded]:
    """A few leading rows to open an engine on."""
    return _leading(rows[:FEW_ROWS], FEW_TOKENS)


def _answer_tokens(rows: Sequence[Encoded]) -> int:
    return sum(row.end - row.start for row in rows)
