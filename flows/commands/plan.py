"""The command that estimates the cost of a run."""

from typing import TYPE_CHECKING, Any

import typer

from oresight.flows.commands.options import Changes, Config
from oresight.flows.commands.output import Json, json_only, print_json
from oresight.tasks.configfile import read_config

if TYPE_CHECKING:
    from oresight.flows.plan import Plan

PHASES = ("reading", "scoring", "deciding", "writing")


def plan(config: Config, changes: Changes = None, as_json: Json = False) -> None:
    """Estimate the rows, tokens, time, memory and disk of a run, by a short measured probe. Nothing runs."""
    settings = read_config(config, changes or [])
    from oresight.flows.plan import probe

    with json_only(as_json):
        estimate = probe(settings)
    if as_json:
        print_json(_document(estimate))
        return
    scoring, seconds = estimate.scoring, estimate.seconds
    counts = {
        "rows": (estimate.rows, "rows read"),
        "rejected": (estimate.rejected, "rows"),
        "duplicates": (estimate.duplicates, "rows"),
        "to score": (scoring.to_score, "rows of the dataset and the reference"),
        "reused": (scoring.reused, "rows with a fresh score"),
        "canaries": (estimate.canaries, f"planted rows, {scoring.canaries:,} of them to score"),
        "tokens": (scoring.tokens, "tokens to score"),
    }
    if scoring.unscorable:
        counts["unscorable"] = (scoring.unscorable, "rows that the model cannot score")
    for name, (count, unit) in counts.items():
        typer.echo(f"{name:<10}  {count:>11,} {unit}")
    total = sum(seconds.values())
    parts = ", ".join(f"{phase} {seconds[phase]:,.1f}" for phase in PHASES if phase in seconds)
    typer.echo(f"{'time':<10}  {total:>11,.1f} s{_minutes(total)}: {parts}")
    typer.echo(f"{'memory':<10}  {scoring.memory / 1e6:>11,.0f} MB at most")
    if scoring.device_memory is not None:
        typer.echo(f"{'GPU memory':<10}  {scoring.device_memory / 1e6:>11,.0f} MB at most")
    typer.echo(f"{'disk':<10}  {estimate.disk / 1e6:>11,.1f} MB more than now")
    if settings.cluster:
        typer.echo(f"{'store':<10}  {scoring.store_bytes / 1e6:>11,.1f} MB at most, in {settings.cluster.store}")
        hours = f"actor-hours on {settings.cluster.actors} actors, if each is as fast as this machine"
        typer.echo(f"{'actors':<10}  {scoring.actor_s / 3600:>11,.2f} {hours}")
    typer.echo(estimate.measured_on())


def _document(estimate: "Plan") -> dict[str, Any]:
    """The estimate as one JSON document. Bytes and seconds."""
    scoring, seconds = estimate.scoring, estimate.seconds
    return {
        "model": estimate.model,
        "rows": estimate.rows,
        "rejected": estimate.rejected,
        "duplicates": estimate.duplicates,
        "to_score": scoring.to_score,
        "reused": scoring.reused,
        "unscorable": scoring.unscorable,
        "canaries": estimate.canaries,
        "canaries_to_score": scoring.canaries,
        "tokens": scoring.tokens,
        "seconds": sum(seconds.values()),
        "seconds_by_phase": {phase: seconds[phase] for phase in PHASES if phase in seconds},
        "memory_bytes": scoring.memory,
        "device_memory_bytes": scoring.device_memory,
        "disk_bytes": estimate.disk,
        "store_bytes": scoring.store_bytes,
        "actor_seconds": scoring.actor_s,
        "device": scoring.device,
        "probed_rows": scoring.probed,
        "probe_seconds": scoring.probe_s,
        "is_sampled": scoring.is_sampled,
    }


def _minutes(seconds: float) -> str:
    """Seconds in hours and minutes, in parentheses; empty below two minutes."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return ""
    return f" ({minutes} min)" if minutes < 120 else f" ({minutes // 60} h {minutes % 60} min)"
