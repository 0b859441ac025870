"""Commands that measure the method on the user's data."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from oresight.flows.commands.options import Changes, Config
from oresight.flows.commands.output import Json, echo, json_only, print_json
from oresight.tasks.configfile import read_config


def evaluate(
    config: Config,
    truth: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="A column that is true or 1 for wrong rows, false or 0 for right ones."),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="A column of rows and trusted rows that holds their class.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="With --classes: a column whose complete text is scored.")
    ] = None,
    share: Annotated[
        float | None, typer.Option(min=0.01, max=0.99, help="Share of the rows that get a planted defect.")
    ] = None,
    rows: Annotated[int | None, typer.Option(min=20, help="Number of rows that each seed draws.")] = None,
    seeds: Annotated[int | None, typer.Option(min=2, help="Number of seeds.")] = None,
    changes: Changes = None,
    as_json: Json = False,
) -> None:
    """Measure how well the signals find wrong rows.

    Without options, defects are planted in copies of the rows. --truth measures against a column that says which rows
    are wrong, --classes against classes of rows and trusted rows.

    --share, --rows and --seeds override the keys of the section `evaluating`.
    """
    settings = read_config(config, [*(changes or []), *_as_changes("evaluating", share=share, rows=rows, seeds=seeds)])
    if sum(map(bool, (truth, classes))) > 1 or (text and not classes):
        raise ValueError("--truth, --classes: give one of them, not both; --text needs --classes")
    from oresight.flows.evaluate import evaluate_truth, measure_method
    from oresight.flows.server.temporary import start_temporary_server

    with json_only(as_json):
        start_temporary_server()
        if truth:
            evaluation = evaluate_truth(settings, truth)
            lines, document = evaluation.lines(), asdict(evaluation)
        else:
            measured = measure_method(settings, classes, text)
            lines = measured.lines
            document = {name: getattr(measured, name) for name in ("results", "comparisons", "report")}
    if as_json:
        print_json(document)
    else:
        echo("\n".join(lines))


def settle(
    config: Config,
    test: Annotated[
        str, typer.Option(metavar="FILE", help="Test rows that are neither in the dataset nor in the reference.")
    ],
    truth: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="A column that is true or 1 for wrong rows: how many each method takes."),
    ] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Answer tokens per finetune.")] = None,
    shares: Annotated[
        list[float] | None,
        typer.Option("--share", help="A budget: a share of the answer tokens that a seed draws. Can be repeated."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=2, help="Number of seeds. Each seed draws half of the rows.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0, help="The highest learning rate. Default: a sweep decides.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the rows.")] = None,
    lora: Annotated[
        bool | None, typer.Option("--lora/--full", help="Train LoRA matrices only, or all weights.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="METRIC", help="exact: also compare the finetuned models' answers.")
    ] = None,
    finetune: Annotated[bool, typer.Option(help="Compare methods that choose rows.")] = True,
    curves: Annotated[
        bool, typer.Option(help="Also train without the rows of the highest and of the lowest value.")
    ] = False,
    datamodels: Annotated[
        bool, typer.Option(help="Also compute the linear datamodeling score. For small models.")
    ] = False,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD", help="A method to compare with, besides kept and random. Default: all."),
    ] = None,
    changes: Changes = None,
) -> None:
    """Finetune on the kept rows and on as many tokens of other rows, and compare the test loss.

    --tokens, --share, --seeds, --rate, --epochs, --lora, --metric and --against override the keys of the section
    `finetuning`.
    """
    overrides = _as_changes(
        "finetuning", tokens=tokens, shares=shares or None, seeds=seeds, rate=rate, epochs=epochs, lora=lora,
        metric=metric, against=against or None,
    )  # fmt: skip
    settings = read_config(config, [*(changes or []), *overrides])
    from oresight.flows.server.temporary import start_temporary_server
    from oresight.flows.settle import Experiments, run_experiments

    start_temporary_server()
    experiments = Experiments(test, truth, finetune, curves, datamodels)
    typer.echo("\n".join(run_experiments(settings, experiments)))


def _as_changes(section: str, **options: Any) -> list[str]:
    """Options that have a value, as changes of a section of the configuration."""
    return [f"{section}.{name}={json.dumps(value)}" for name, value in options.items() if value is not None]
