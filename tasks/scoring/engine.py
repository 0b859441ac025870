"""Opens a model on a reference: fits the index and the cheap form of the reference, and then scores rows.

Every row goes through the body once. The answer states of the rows that something is fitted on are kept until those
rows are measured. They are at most KEEP answer tokens, so memory does not grow with the dataset or the reference.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

import torch

from oresight.tasks.scoring.fitted import Fitted, Measured
from oresight.tasks.scoring.forward import Answers, visit
from oresight.tasks.scoring.index import Basis, correlation, fit_basis
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.reference import fit, no_reference
from oresight.tasks.scoring.signals import Gauge, Neighbours, Signals, leave_one_out, mean_logprobs

KEEP = 2**14
"""Answer tokens whose states are kept, of the reference and of the dataset each: 0.3 GB at D = 4,096."""
SAMPLE = 400
"""Most rows of the dataset that the index is fitted on; never more than half of the opening rows."""
HELD, HELD_TOKENS = 24, 1024
"""Rows, and answer tokens, that are held out from the fit: the reference's form and the index are measured on them."""


@dataclass(frozen=True)
class Options:
    """The settings of a run that scoring depends on."""

    batch_tokens: int = 4096
    rank_tolerance: float = 1e-3
    conditional_gain: bool = True
    on_halved: Callable[[int], None] = lambda _budget: None
    """Called with the new batch budget when memory ran out and the budget was halved."""
    on_opened: Callable[[float], None] = lambda _share: None
    """Called batch by batch while an engine is opened, with the share of that work that was done; 1 in sum."""


@dataclass(frozen=True)
class Engine:
    """A model with everything that is needed to score a row."""

    model: Loaded
    fitted: Fitted
    gauge: Gauge
    options: Options

    @staticmethod
    def of(model: Loaded, fitted: bytes, options: Options) -> "Engine":
        """An engine from a stored fit."""
        fits = Fitted.read(fitted, model.device)
        return Engine(model, fits, Gauge.of(model.head, fits.reference, fits.basis), options)

    def score(self, rows: Sequence[Encoded], only: Set[int] | None = None) -> Iterator[list[Signals]]:
        """The signals of rows, batch by batch, the longest rows first.

        only: positions of rows. Batches are made of all rows, and those without any of these are left out.
        """
        options = self.options
        for batch in visit(self.model, rows, options.batch_tokens, self.gauge.measure, options.on_halved, only=only):
            yield self.complete(rows, batch)

    def complete(self, rows: Sequence[Encoded], batch: list[Signals]) -> list[Signals]:
        """Add the signals that need the neighbours, or another forward pass."""
        for signals, local_value in zip(batch, self.fitted.neighbours.local_values(batch), strict=True):
            signals.local_value = local_value
        return add_gains(self.model, rows, batch, self.options)


@dataclass(frozen=True)
class OpenedEngine:
    """An engine, with the signals of the rows that were scored while opening it, in the order of those rows."""

    engine: Engine
    reference: list[Signals]
    """Signals of the reference rows. Each row's value is against the other reference rows (leave one out)."""
    opening: list[Signals]


@dataclass(frozen=True)
class _Visited:
    """Reads rows to open an engine, and shows how much of that work is done.

    Half of a row's work is done when its states are there, and half when its signals are.
    """

    model: Loaded
    options: Options
    ids: int
    """Tokens of all rows."""

    def show(self, rows: Sequence[Encoded], positions: Iterable[int]) -> None:
        self.options.on_opened(sum(len(rows[i].ids) for i in positions) / max(self.ids, 1) / 2)

    def read(self, rows: Sequence[Encoded]) -> Iterator[Answers]:
        for part in visit(self.model, rows, self.options.batch_tokens, lambda part: part, self.options.on_halved):
            self.show(rows, part.rows)
            yield part


def open_engine(
    model: Loaded,
    reference: Sequence[Encoded],
    opening: Sequence[Encoded],
    options: Options,
    basis: Basis | None = None,
    form: tuple[int, int] | None = None,
) -> OpenedEngine:
    """Fit the index and the reference's cheap form where they are not given, and score the rows used for that.

    opening: rows of the dataset in random order; `opening_size` says how many are useful. basis: an index fitted
    earlier. form: the reference's (tokens, rank) from an earlier fit. Without reference rows, rows get the signals that
    need none, and no value.
    """
    visited = _Visited(model, options, sum(len(row.ids) for row in (*reference, *opening)))
    kept_rows = _rows_within(reference, KEEP)
    kept, rest = list(visited.read(reference[:kept_rows])), reference[kept_rows:]
    opened = list(visited.read(opening))
    held = _held_out(opening, range(len(opening) // 2))  # the first rows; the index is fitted on the rows after them
    even = range(0, kept_rows, 2)
    if basis is None:
        sample = [*select_rows(opened, range(len(held), len(opening))), *select_rows(kept, even)]
        basis = fit_basis(sample, model.head)
    odd = _held_out(reference, range(1, kept_rows, 2)) or _held_out(reference, range(kept_rows))
    probe = select_rows(opened, held) or select_rows(kept, odd)
    if reference:
        exact, cheap = fit(
            model.head, kept, visited.read(rest), probe=probe, tolerance=options.rank_tolerance, form=form
        )
    else:
        exact = cheap = no_reference(model.head)

    exact_gauge = Gauge.of(model.head, exact, basis)
    trusted = [signals for part in kept for signals in exact_gauge.measure(part)]
    for batch in visit(model, rest, options.batch_tokens, exact_gauge.measure, options.on_halved):
        trusted += [replace(signals, row=signals.row + kept_rows) for signals in batch]
    trusted = add_gains(model, reference, sorted(trusted, key=lambda signals: signals.row), options)
    visited.show(reference, range(len(reference)))
    neighbours = Neighbours.of(trusted)
    for signals, local_value in zip(trusted, neighbours.local_values(trusted, themselves=True), strict=True):
        value, cosine = leave_one_out(signals, exact)
        signals.value = math.nan if value is None else value
        signals.value_cosine = math.nan if cosine is None else cosine
        signals.local_value = local_value
    del exact_gauge, exact

    a, b = concatenate(select_rows(opened, held)), concatenate(select_rows(kept, odd))
    index_correlation, pairs = correlation(basis, a, b, model.head) if a and b else (math.nan, 0)
    fitted = Fitted(reference=cheap, basis=basis, neighbours=neighbours, index=Measured(index_correlation, pairs))
    engine = Engine.of(model, fitted.stored(), options)
    scored: list[Signals] = []
    for part in opened:
        scored += engine.complete(opening, engine.gauge.measure(part))
        visited.show(opening, part.rows)
    return OpenedEngine(engine, trusted, scored)


def add_gains(model: Loaded, rows: Sequence[Encoded], batch: list[Signals], options: Options) -> list[Signals]:
    """Add the gains if they are switched on: one more forward of the answers alone, and one with grey pictures."""
    if options.conditional_gain:
        without_prompt = [rows[signals.row].alone() for signals in batch]
        logprobs = mean_logprobs(model, without_prompt, options.batch_tokens)
        for signals, logprob in zip(batch, logprobs, strict=True):
            signals.conditional_gain = -signals.nll - logprob
        with_pictures = [signals for signals in batch if rows[signals.row].pictures]
        blank = [rows[signals.row].blanked() for signals in with_pictures]
        for signals, logprob in zip(with_pictures, mean_logprobs(model, blank, options.batch_tokens), strict=True):
            signals.image_gain = -signals.nll - logprob
    return batch


def opening_size(rows: Sequence[Encoded], *, fitted: bool) -> int:
    """How many rows, from the first, an engine should be opened on; few once the index is fitted."""
    return min(_rows_within(rows, KEEP), HELD if fitted else HELD + SAMPLE)


def _rows_within(rows: Sequence[Encoded], tokens: int) -> int:
    """How many rows, from the first, have together at most so many answer tokens; at least one row."""
    total = 0
    for i, row in enumerate(rows):
        total += row.end - row.start
        if total > tokens:
            return max(i, 1)
    return len(rows)


def _held_out(rows: Sequence[Encoded], positions: Sequence[int]) -> list[int]:
    """The first of these positions, within HELD rows and HELD_TOKENS answer tokens."""
    first = list(positions[:HELD])
    return first[: _rows_within([rows[i] for i in first], HELD_TOKENS)]


def select_rows(parts: Sequence[Answers], rows: Sequence[int]) -> list[Answers]:
    """The parts, reduced to these rows."""
    chosen = set(rows)
    selected = []
    for part in parts:
        positions = [i for i, row in enumerate(part.rows) if row in chosen]
        if positions:
            h, y = part.h_TD.split(part.lengths), part.y_T.split(part.lengths)
            selected.append(
                Answers(
                    [part.rows[i] for i in positions],
                    torch.cat([h[i] for i in positions]),
                    torch.cat([y[i] for i in positions]),
                    [part.lengths[i] for i in positions],
                    part.text_ND[positions],
                )
            )
    return selected


def concatenate(parts: Sequence[Answers]) -> Answers | None:
    """All parts as one; None if there are none."""
    if not parts:
        return None
    rows, lengths = [row for part in parts for row in part.rows], [n for part in parts for n in part.lengths]
    h_TD, y_T, text_ND = (torch.cat([getattr(part, name) for part in parts]) for name in ("h_TD", "y_T", "text_ND"))
    return Answers(rows, h_TD, y_T, lengths, text_ND)
