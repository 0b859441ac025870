"""A question with the right answer -> the rows that teach this answer, and the rows that work against it.

The rows come from the index: the model reads the question only. Nothing is written.
"""

from dataclasses import dataclass
from typing import Any

from oresight.tasks.database import reading, records
from oresight.tasks.runs.record import Run
from oresight.tasks.scoring.forward import visit
from oresight.tasks.scoring.index import Basis
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.prompt import Unscorable, encode


@dataclass(frozen=True)
class Taught:
    """Rows, ordered by what a gradient step on each does for the given answer, the most helpful first."""

    rows: list[dict[str, Any]]
    correlation: float | None
    """Correlation of the index's values with exact values, as the last run measured it; None if it had no pairs."""


def ask(run: Run, question: str, answer: str, n: int) -> Taught:
    """The n rows of the dataset that teach the answer most and the n rows that work against it most, with values.

    Raises ValueError if the model has no index in this database, or cannot read the question.
    """
    config, parameters = run.config, {"model_key": run.model.key, "dataset": run.config.dataset.name}
    with reading(config.database) as connection:
        index = next(iter(records(connection, "ask_index", parameters)), None)
    if index is None:
        raise ValueError(f"{config.database}: has no index of this model; run `oresight score CONFIG.yaml` first")
    model = load(
        run.model.files, config.model.device, index["dtype"], config.model.parallel, spread=config.model.spread
    )
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    limit = min(config.scoring.max_tokens, model.positions or config.scoring.max_tokens)
    try:
        row = encode(messages, tools=None, tokenizer=model.tokenizer, max_tokens=limit, vision=model.vision)
    except Unscorable as error:
        raise ValueError(f"the question cannot be scored: {error}") from error
    basis = Basis.read(index["basis"]).to(model.device)
    (vector,) = visit(model, [row], config.scoring.batch_tokens, lambda part: basis.of(part, model.head)[0].tolist())
    with reading(config.database) as connection:
        rows = records(connection, "ask_rows", parameters | {"vector": vector, "n": n})
    if not rows:
        raise ValueError(
            f"{config.dataset.name}: none of its rows is in the index; run `oresight score CONFIG.yaml` first"
        )
    return Taught(rows, index["index_correlation"])
