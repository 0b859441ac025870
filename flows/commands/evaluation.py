"""The commands that measure whether the method is right on these data."""

import json
from typing import Annotated, Any

import typer

from oresight.flows.commands.options import Changes, Config
from oresight.tasks.configfile import read_config


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
    share: Annotated[
        float | None, typer.Option(min=0.01, max=0.99, help="Share of rows that get a planted defect.")
    ] = None,
    rows: Annotated[int | None, typer.Option(min=20, help="Rows that a seed draws.")] = None,
    seeds: Annotated[int | None, typer.Option(min=2, help="How often that is done.")] = None,
    changes: Changes = None,
) -> None:
    """Measure the signals: against a column that says which rows are wrong (--truth), against classes (--classes), or
    else against defects that are planted in copies of the rows.

    --share, --rows and --seeds go before the keys of the section `evaluating`.
    """
    settings = read_config(config, [*(changes or []), *_given("evaluating", share=share, rows=rows, seeds=seeds)])
    if sum(map(bool, (truth, classes))) > 1 or (text and not classes):
        raise ValueError("--truth, --classes: give one of them; --text goes with --classes")
    from oresight.flows.evaluate import evaluate_method, evaluate_truth

    lines = evaluate_truth(settings, truth).lines() if truth else evaluate_method(settings, classes, text)
    typer.echo("\n".join(lines))


def settle(
    config: Config,
    test: Annotated[str, typer.Option(metavar="FILE", help="Rows that neither dataset nor reference has.")],
    tokens: Annotated[int | None, typer.Option(min=1, help="Answer tokens that each finetune learns from.")] = None,
    seeds: Annotated[int | None, typer.Option(min=2, help="How often: each seed draws half of the rows.")] = None,
    rate: Annotated[float | None, typer.Option(min=0, help="The highest learning rate.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="How often a row is shown.")] = None,
    lora: Annotated[bool | None, typer.Option("--lora/--full", help="Train LoRA matrices, or all weights.")] = None,
    finetune: Annotated[bool, typer.Option(help="Compare ways to choose rows.")] = True,
    curves: Annotated[bool, typer.Option(help="Leave out the rows of the highest and of the lowest value.")] = False,
    datamodels: Annotated[bool, typer.Option(help="The linear datamodeling score; for small models.")] = False,
    against: Annotated[
        list[str] | None, typer.Option(metavar="WAY", help="A way to choose rows, beside kept, random; default: all.")
    ] = None,
    changes: Changes = None,
) -> None:
    """Finetune on what the split keeps and on as much of what others would keep, and compare the loss on a test set.

    --tokens, --seeds, --rate, --epochs, --lora and --against go before the keys of the section `finetuning`.
    """
    given = _given(
        "finetuning", tokens=tokens, seeds=seeds, rate=rate, epochs=epochs, lora=lora, against=against or None
    )
    settings = read_config(config, [*(changes or []), *given])
    from oresight.flows.settle import Experiments, run_experiments

    typer.echo("\n".join(run_experiments(settings, Experiments(test, finetune, curves, datamodels))))


def _given(section: str, **options: Any) -> list[str]:
    """The options that were given, as changes of the configuration."""
    return [f"{section}.{name}={json.dumps(value)}" for name, value in options.items() if value is not None]
