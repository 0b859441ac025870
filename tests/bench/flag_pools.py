"""Scored rows that tests/bench/bench_flags.py draws from: python tests/bench/flag_pools.py [SOURCE ...].

Sources are short rows of Dolly, GSM8K, MRPC (as a question with the answer yes or no), BIG-Bench Hard, grammars and
self-instruct, and easy-VQA; brief are the shortest rows of Dolly, a fifth of which have an answer of a few words, and
brief-tiny are the same, scored by a model of 260,000 parameters. Each has candidates for trusted rows, canaries of some
of them, other rows, and copies of these with defects, of the canaries' kinds and of three other kinds. All are scored
once, in float32. No signal depends on the rows beside it but the values, and those come from the index, so that any
draw of trusted rows and others can be judged afterwards. The index is fitted on rows that are in no draw, because its
products are larger for the rows that it is fitted on. The result is stored in evaluate/flags-SOURCE.npz. All sources
together take more than an hour on 2 cores.
"""

import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from oresight.tasks.detection.defects import KINDS, Row, planted
from oresight.tasks.scoring.engine import Options, open_engine
from oresight.tasks.scoring.forward import visit
from oresight.tasks.scoring.index import Basis, fit_basis
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.picture import Picture, inspect_picture
from oresight.tasks.scoring.prompt import Encoded, encode
from oresight.tasks.scoring.signals import Signals
from oresight.tasks.scoring.source import TOY, find

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))  # for the modules of tests.data
sys.path.insert(0, str(Path(__file__).parents[2]))  # the root, for tests.data
from tests.data.easy import drawn
from tests.data.make_evaluation import FOLDER, SHARED
from tests.data.make_pools import sources


class Size(NamedTuple):
    """Rows of a source."""

    candidates: int
    """Rows that trusted ones are drawn from."""
    copied: int
    """Candidates, the first ones, of which canaries of all kinds are made."""
    others: int
    defective: int
    """Copies of other rows for each kind of defect."""


SIZES = {
    "dolly": Size(220, 80, 420, 36),
    "gsm8k": Size(220, 80, 420, 36),
    "mrpc": Size(220, 80, 420, 130),
    "bbh": Size(50, 50, 110, 8),
    "grammars": Size(50, 50, 110, 8),
    "self_instruct": Size(40, 40, 80, 6),
    "easy": Size(220, 80, 420, 70),
    "brief": Size(320, 80, 480, 36),
    "brief-tiny": Size(320, 80, 480, 36),
}
BRIEF = 200
"""Letters of a brief row at most."""
MODELS = {"easy": TOY, "brief-tiny": str(SHARED / "stories260k")}
"""Models of sources; all others are scored by SmolLM2."""
MIXED = ("dolly", "gsm8k", "mrpc", "bbh", "grammars", "self_instruct")
"""Sources of texts that an index is fitted on."""
FITTED = 80
"""Rows of each source of texts that the index is fitted on; of easy-VQA five times as many."""
ASK_MRPC = (
    "Sentence 1: {sentence1}\nSentence 2: {sentence2}\n"
    "Are these two sentences paraphrases of each other? Answer yes or no."
)


def refusal(row: Row, draw: random.Random) -> Row | None:
    """Give the row a refusal as its answer."""
    return replace(row, answer="I'm sorry, but as an AI language model I cannot help with that request.")


def shuffled_words(row: Row, draw: random.Random) -> Row | None:
    """Shuffle the words of the answer."""
    words = row.answer.split()
    return replace(row, answer=" ".join(draw.sample(words, len(words)))) if len(words) > 5 else None


def echo(row: Row, draw: random.Random) -> Row | None:
    """Give the row its own question as its answer."""
    return replace(row, answer=row.prompt) if not row.images else None


UNSEEN = (refusal, shuffled_words, echo)
"""Kinds of defect that are not among the canaries."""


class Made(NamedTuple):
    """A row, whether trusted rows may be drawn from it, and its kind of defect, '' for a clean row."""

    row: Row
    is_candidate: bool
    defect: str


@cache
def clean_rows() -> dict[str, list[Row]]:
    """The rows of each source, as they are, in a random order."""
    plain = {
        name: [Row(f"{name}-{i}", "\n".join(filter(None, [r["instruction"], r["input"]])), r["output"])
               for i, r in enumerate(rows)]
        for name, rows in sources().items()
    }  # fmt: skip
    lines = [json.loads(line) for line in (SHARED / "mrpc" / "train.jsonl").read_text().rstrip().split("\n")]
    mrpc = [Row(f"mrpc-{r['id']}", ASK_MRPC.format(**r), "yes" if r["label"] else "no") for r in lines]
    _, pictures = drawn(0, rows=0, trusted=1100, wrong=0)
    easy = [Row(row.id, row.question, row.answer, (row.file,)) for row in pictures]
    start = SIZES["dolly"].candidates + SIZES["dolly"].others  # an index is fitted on the next rows
    dolly = plain["dolly"][:start] + plain["dolly"][start + FITTED :]
    brief = [row for row in dolly if len(row.prompt + row.answer) <= BRIEF]
    return plain | {
        "mrpc": random.Random("mrpc").sample(mrpc, len(mrpc)), "easy": random.Random("easy").sample(easy, len(easy)),
        "brief": brief, "brief-tiny": brief,
    }  # fmt: skip


def made_rows(source: str) -> list[Made]:
    """All rows of a source: clean ones and defective copies."""
    rows, size = clean_rows()[source], SIZES[source]
    candidates, others = rows[: size.candidates], rows[size.candidates : size.candidates + size.others]
    made = [Made(row, True, "") for row in candidates]
    made += [Made(row, True, kind) for kind, row in planted(candidates[: size.copied], size.copied)]
    made += [Made(row, False, "") for row in others]
    seen = ["another_label"] if source == "mrpc" else list(KINDS)
    made += [Made(row, False, kind) for kind, row in planted(others, size.defective, seen)]
    for kind in () if source == "mrpc" else UNSEEN:
        draw = random.Random(f"{source} {kind.__name__}")
        copies = [copy for row in draw.sample(others, len(others)) if (copy := kind(row, draw))]
        made += [Made(copy, False, kind.__name__) for copy in copies[: size.defective]]
    return made


def encoded(model: Loaded, row: Row) -> Encoded:
    """A row as token ids and pictures."""
    shown = []
    for file in row.images:
        seen = inspect_picture(Path(file).read_bytes())
        shown.append(Picture(file, seen.sha256, seen.width, seen.height, blank=row.is_blank))
    asked: Any = [*({"type": "image"} for _ in shown), {"type": "text", "text": row.prompt}] if shown else row.prompt
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": row.answer}]
    return encode(turns, None, model.tokenizer, 1024, model.vision, shown)


@cache
def opened_model(name: str) -> tuple[Loaded, Basis]:
    """A model, and an index that is fitted on rows that are in no draw."""
    model = load(find(name), "cpu", "float32")
    several = ["easy"] if name == TOY else MIXED
    rows = []
    for source in several:
        start, n = SIZES[source].candidates + SIZES[source].others, FITTED * (5 if source == "easy" else 1)
        rows += clean_rows()[source][start : start + n]
    return model, fit_basis(
        list(visit(model, [encoded(model, row) for row in rows], 4096, lambda part: part)), model.head
    )


def scored(source: str, made: Sequence[Made], options: Options) -> list[Signals]:
    """The signals of all rows. The clean candidates are the reference."""
    model, basis = opened_model(MODELS.get(source, "smollm2-135m-instruct"))
    is_trusted = [m.is_candidate and not m.defect for m in made]
    trusted, rest = (
        [encoded(model, m.row) for m, t in zip(made, is_trusted, strict=True) if t is want] for want in (True, False)
    )
    done = open_engine(model, trusted, rest[:24], options, basis=basis)
    others: dict[int, Signals] = {}
    for batch in done.engine.score(rest):
        others |= {signals.row: signals for signals in batch}
        sys.stderr.write(f"\r{source}: {len(others)} of {len(rest)} rows scored")
    reference, other = iter(done.reference), iter(others[i] for i in range(len(rest)))
    return [next(reference if t else other) for t in is_trusted]


def arrays(made: Sequence[Made], signals: Sequence[Signals]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """What is stored of a pool: one array for each name, in the order of the rows."""
    position = {(m.row.sample_id, m.is_candidate): i for i, m in enumerate(made) if not m.defect}
    yield "twin", np.array([position[m.row.sample_id, m.is_candidate] for m in made])
    yield "defect", np.array([m.defect for m in made])
    yield "is_candidate", np.array([m.is_candidate for m in made])
    yield "answer", np.array([m.row.answer.strip() if len(m.row.answer) <= 100 else "" for m in made])
    yield "vector", np.stack([s.vector.numpy() for s in signals]).astype(np.float32)
    yield "state", np.stack([s.state.numpy() for s in signals]).astype(np.float32)
    yield "answer_tokens", np.array([len(s.token_values) for s in signals])
    for name in ("nll", "worst_token", "self_value", "conditional_gain", "image_gain"):
        yield name, np.array([getattr(s, name) for s in signals], dtype=float)
    yield "first_token", np.array([s.token_logprobs[0] for s in signals])
    yield "last_token", np.array([s.token_logprobs[-1] for s in signals])


def stored(source: str) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a source, scored if they are not stored."""
    file = FOLDER / f"flags-{source}.npz"
    if not file.exists():
        FOLDER.mkdir(exist_ok=True)
        made = made_rows(source)
        np.savez(file, **dict(arrays(made, scored(source, made, Options(batch_tokens=4096)))))
    with np.load(file, allow_pickle=False) as content:
        return dict(content)


def pool_of(names: Sequence[str]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of several sources, with the column `source`.

    A name like "brief, short" stands for the rows of a source whose answers, before any defect, are among its shortest
    fifth. Those of "brief, long" are among its longest fifth, and "brief, middle" are the others.
    """
    parts, before = [], 0
    for name in dict.fromkeys(name.partition(", ")[0] for name in names):
        part = stored(name)
        source = np.full(len(part["twin"]), name, dtype=object)
        if name not in names:
            length, is_clean = part["answer_tokens"][part["twin"]], part["defect"] == ""
            low, high = np.quantile(length[is_clean], [0.2, 0.8])
            source += np.select([length <= low, length > high], [", short", ", long"], ", middle").astype(object)
        parts.append(part | {"source": source.astype(str), "twin": part["twin"] + before})
        before += len(part["twin"])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


if __name__ == "__main__":
    for name in sys.argv[1:] or SIZES:
        sys.stdout.write(f"{name}: {len(stored(name)['twin']):,} rows\n")
