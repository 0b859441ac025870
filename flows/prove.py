"""The commands that ask whether it is true."""

from typing import Annotated

import typer

from flows.arguments import Changes, Config
from tasks.config import read


def evaluate(
    config: Config,
    truth: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="A column of the rows: true or 1 where a row is wrong.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="A column of rows and trusted rows: what they were made like.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="With --classes: the column that is scored, whole.")
    ] = None,
    share: Annotated[float, typer.Option(min=0.01, max=0.99, help="Share of rows that get a planted defect.")] = 0.2,
    rows: Annotated[int, typer.Option(min=20, help="Rows that a seed draws.")] = 400,
    seeds: Annotated[int, typer.Option(min=2, help="How often that is done.")] = 8,
    changes: Changes = None,
) -> None:
    """Measure the signals: against a column that says which rows are wrong (--truth), against classes (--classes), or
    else against defects that are planted in copies of the rows.
    """
    settings = read(config, changes or [])
    if sum(map(bool, (truth, classes))) > 1 or (text and not classes):
        raise ValueError("--truth, --classes: give one of them; --text goes with --classes")
    from flows.evaluate import measured, tried
    from tasks.planted import Trial

    lines = measured(settings, truth).lines() if truth else tried(settings, classes, text, Trial(share, rows, seeds))
    typer.echo("\n".join(lines))


def settle(
    config: Config,
    test: Annotated[str, typer.Option(metavar="FILE", help="Rows that neither dataset nor reference has.")],
    tokens: Annotated[int, typer.Option(min=1, help="Answer tokens that each finetune learns from.")] = 10_000,
    seeds: Annotated[int, typer.Option(min=2, help="How often: each seed draws half of the rows.")] = 5,
    rate: Annotated[float, typer.Option(min=0, help="The highest learning rate.")] = 1e-3,
    epochs: Annotated[int, typer.Option(min=1, help="How often a row is shown.")] = 1,
    lora: Annotated[bool, typer.Option("--lora/--full", help="Train LoRA matrices, or all weights.")] = True,
    finetune: Annotated[bool, typer.Option(help="Compare ways to choose rows.")] = True,
    curves: Annotated[bool, typer.Option(help="Leave out the rows of the highest and of the lowest value.")] = False,
    datamodels: Annotated[bool, typer.Option(help="The linear datamodeling score; for small models.")] = False,
    against: Annotated[
        list[str] | None, typer.Option(metavar="WAY", help="A way to choose rows, beside kept, random; default: all.")
    ] = None,
    changes: Changes = None,
) -> None:
    """Finetune on what the split keeps and on as much of what others would keep, and compare the loss on a test set."""
    settings = read(config, changes or [])
    from flows.settle import Wanted, settled

    wanted = Wanted(test, tokens, seeds, rate, epochs, lora, finetune, curves, datamodels, tuple(against or ()))
    typer.echo("\n".join(settled(settings, wanted)))
