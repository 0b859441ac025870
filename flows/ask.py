"""The command that asks which rows teach a model one answer."""

from typing import Annotated

import typer

from flows.arguments import Changes, Config
from tasks.config import read


def ask(
    config: Config,
    question: Annotated[str, typer.Argument(help="What the model will be asked.")],
    answer: Annotated[str, typer.Argument(help="What it should say.")],
    changes: Changes = None,
    n: Annotated[int, typer.Option("-n", min=1, help="So many rows of each kind.")] = 5,
) -> None:
    """The rows of the dataset that teach an answer, and those that work against it; from the index, in seconds."""
    from tasks.ask import ask as step
    from tasks.score import identity
    from tasks.scoring.source import find

    settings = read(config, changes or [])
    source = find(settings.model.name, settings.model.revision, settings.model.adapter)
    found = step(settings, source, identity(settings, source)["model_key"], question, answer, n)
    for row in found.rows:
        texts = " -> ".join(" ".join(str(row[part]).split())[:70] for part in ("prompt", "answer"))
        typer.echo(f"{row['value']:>+10.4g}  {row['sample_id']}  {texts}")
    close = "not measured" if found.correlation is None else f"{found.correlation:.4f}"
    typer.echo(f"values from the index, whose correlation with exact ones is {close}")
