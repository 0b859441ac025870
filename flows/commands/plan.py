"""The command that says what a run would take."""

import typer

from oresight.flows.commands.options import Changes, Config
from oresight.tasks.configfile import read_config

STAGES = ("reading", "scoring", "deciding", "writing")


def plan(config: Config, changes: Changes = None) -> None:
    """What a run would take: rows, tokens, time, memory and disk, from a short measured probe; nothing runs."""
    settings = read_config(config, changes or [])
    from oresight.flows.plan import probe

    found = probe(settings)
    scoring, took = found.scoring, found.seconds
    counts = {
        "rows": (found.rows, "rows read"),
        "rejected": (found.rejected, "rows"),
        "duplicates": (found.duplicates, "rows"),
        "to score": (scoring.to_score, "rows of the dataset and the reference"),
        "reused": (scoring.reused, "rows with a fresh score"),
        "canaries": (found.canaries, f"planted rows, {scoring.canaries:,} of them to score"),
        "tokens": (scoring.tokens, "tokens to score"),
    }
    if scoring.unscorable:
        counts["unscorable"] = (scoring.unscorable, "rows that the model cannot score")
    for what, (count, unit) in counts.items():
        typer.echo(f"{what:<10}  {count:>11,} {unit}")
    parts = ", ".join(f"{what} {took[what]:,.1f}" for what in STAGES if what in took)
    typer.echo(f"{'time':<10}  {sum(took.values()):>11,.1f} s{_minutes(sum(took.values()))}: {parts}")
    typer.echo(f"{'memory':<10}  {scoring.memory / 1e6:>11,.0f} MB at most")
    if scoring.device_memory is not None:
        typer.echo(f"{'GPU memory':<10}  {scoring.device_memory / 1e6:>11,.0f} MB at most")
    typer.echo(f"{'disk':<10}  {found.disk / 1e6:>11,.1f} MB more than now")
    typer.echo(found.measured_on())


def _minutes(seconds: float) -> str:
    """The same in hours and minutes, where there are some."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return ""
    return f" ({minutes} min)" if minutes < 120 else f" ({minutes // 60} h {minutes % 60} min)"
