"""A loaded model, opened on a reference: what the index and the reference need is fitted, then rows are scored.

Every row goes through the body once. The rows that something is fitted on are kept as answer states until they are
measured; there are at most KEEP answer tokens of them, so memory does not grow with the dataset or the reference.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from oresight.tasks.scoring.forward import Answers, visit
from oresight.tasks.scoring.index import Basis, correlation, fit_basis
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.reference import fit
from oresight.tasks.scoring.signals import Gauge, Neighbours, Signals, leave_one_out, mean_logprobs

KEEP = 2**14
"""Answer tokens of the rows that are kept, of the reference and of the dataset each: 0.3 GB at D = 4,096."""
SAMPLE = 400
"""Rows of the dataset that the index is fitted on, at most, and at most half of those at hand."""
HELD, HELD_TOKENS = 24, 1024
"""Rows, and answer tokens, that it is not fitted on: there the reference's form and the index are measured."""


@dataclass(frozen=True)
class Options:
    """What a run may choose."""

    batch_tokens: int = 4096
    rank_tolerance: float = 1e-3
    conditional_gain: bool = True
    on_halved: Callable[[int], None] = lambda _budget: None
    """Told when memory ran out and the budget was halved."""


@dataclass(frozen=True)
class Engine:
    """Everything that scores a row."""

    model: Loaded
    gauge: Gauge
    neighbours: Neighbours
    options: Options
    correlation: float
    """Of the index with exact pairwise values, on pairs outside its sample; not a number where there were none."""
    pairs: int

    def score(self, rows: Sequence[Encoded]) -> Iterator[list[Signals]]:
        """The signals of rows, a batch at a time, the longest first."""
        options = self.options
        for found in visit(self.model, rows, options.batch_tokens, self.gauge.measure, options.on_halved):
            yield self.complete(rows, found)

    def complete(self, rows: Sequence[Encoded], found: list[Signals]) -> list[Signals]:
        """Add what needs the neighbours, or another forward."""
        for one, local in zip(found, self.neighbours.local_values(found), strict=True):
            one.local_value = local
        return gained(self.model, rows, found, self.options)

    def beside(self, model: Loaded) -> "Engine":
        """The same engine for a copy of the model on another device."""
        reference, basis = self.gauge.reference.to(model.device), self.gauge.basis.to(model.device)
        return replace(self, model=model, gauge=Gauge.of(model.head, reference, basis))


@dataclass(frozen=True)
class Opened:
    """An engine, and the rows that were scored on the way: positions are those in what was given."""

    engine: Engine
    reference: list[Signals]
    """Against the other reference rows (leave one out)."""
    opening: list[Signals]


def opened(
    model: Loaded,
    reference: Sequence[Encoded],
    opening: Sequence[Encoded],
    options: Options,
    basis: Basis | None = None,
    form: tuple[int, int] | None = None,
) -> Opened:
    """Fit what is not given. opening: rows of the dataset in random order, of which those at hand are used.

    Raises ValueError if there is no reference row.
    """

    def keep(rows: Sequence[Encoded]) -> list[Answers]:
        return list(visit(model, rows, options.batch_tokens, lambda part: part, options.on_halved))

    at_hand = _within(reference, KEEP)
    kept, rest = keep(reference[:at_hand]), reference[at_hand:]
    shown = keep(opening)
    held = _few(opening, range(len(opening) // 2))  # the first rows; the index is fitted on those behind them
    even = range(0, at_hand, 2)
    if basis is None:
        basis = fit_basis([*only(shown, range(len(held), len(opening))), *only(kept, even)], model.head)
    odd = _few(reference, range(1, at_hand, 2)) or _few(reference, range(at_hand))
    probe = only(shown, held) or only(kept, odd)
    more = (part for part in visit(model, rest, options.batch_tokens, lambda part: part, options.on_halved))
    exact, cheap = fit(model.head, kept, more, probe=probe, tolerance=options.rank_tolerance, form=form)

    whole = Gauge.of(model.head, exact, basis)
    trusted = [found for part in kept for found in whole.measure(part)]
    for found in visit(model, rest, options.batch_tokens, whole.measure, options.on_halved):
        trusted += [replace(one, row=one.row + at_hand) for one in found]
    trusted = gained(model, reference, sorted(trusted, key=lambda found: found.row), options)
    neighbours = Neighbours.of(trusted)
    for one, local in zip(trusted, neighbours.local_values(trusted, themselves=True), strict=True):
        value, cosine = leave_one_out(one, exact)
        one.value, one.value_cosine = (math.nan, math.nan) if value is None or cosine is None else (value, cosine)
        one.local_value = local
    del whole, exact

    a, b = joined(only(shown, held)), joined(only(kept, odd))
    close, pairs = correlation(basis, a, b, model.head) if a and b else (math.nan, 0)
    engine = Engine(model, Gauge.of(model.head, cheap, basis), neighbours, options, close, pairs)
    scored = [one for part in shown for one in engine.complete(opening, engine.gauge.measure(part))]
    return Opened(engine, trusted, scored)


def gained(model: Loaded, rows: Sequence[Encoded], found: list[Signals], options: Options) -> list[Signals]:
    """With the gains, if they are wanted: one more forward of the answers alone, one with grey pictures."""
    if options.conditional_gain:
        alone = [rows[one.row].alone() for one in found]
        for one, by_itself in zip(found, mean_logprobs(model, alone, options.batch_tokens), strict=True):
            one.conditional_gain = -one.nll - by_itself
        shown = [one for one in found if rows[one.row].pictures]
        blank = [rows[one.row].blanked() for one in shown]
        for one, unseen in zip(shown, mean_logprobs(model, blank, options.batch_tokens), strict=True):
            one.image_gain = -one.nll - unseen
    return found


def opening_size(rows: Sequence[Encoded], *, fitted: bool) -> int:
    """How many rows, from the first, are worth opening with; few once the index is fitted."""
    return min(_within(rows, KEEP), HELD if fitted else HELD + SAMPLE)


def _within(rows: Sequence[Encoded], tokens: int) -> int:
    """How many rows, from the first, have so many answer tokens; at least one."""
    have = 0
    for i, row in enumerate(rows):
        have += row.end - row.start
        if have > tokens:
            return max(i, 1)
    return len(rows)


def _few(rows: Sequence[Encoded], places: Sequence[int]) -> list[int]:
    """The first of these places, as many as something is measured on."""
    some = list(places[:HELD])
    return some[: _within([rows[i] for i in some], HELD_TOKENS)]


def only(parts: Sequence[Answers], rows: Sequence[int]) -> list[Answers]:
    """The parts, with these rows of them only."""
    wanted = set(rows)
    found = []
    for part in parts:
        places = [i for i, row in enumerate(part.rows) if row in wanted]
        if places:
            h, y = part.h_TD.split(part.lengths), part.y_T.split(part.lengths)
            found.append(
                Answers(
                    [part.rows[i] for i in places],
                    torch.cat([h[i] for i in places]),
                    torch.cat([y[i] for i in places]),
                    [part.lengths[i] for i in places],
                )
            )
    return found


def joined(parts: Sequence[Answers]) -> Answers | None:
    """All of them as one; None where there is none."""
    if not parts:
        return None
    rows, lengths = [row for part in parts for row in part.rows], [n for part in parts for n in part.lengths]
    return Answers(rows, torch.cat([part.h_TD for part in parts]), torch.cat([part.y_T for part in parts]), lengths)
