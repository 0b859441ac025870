"""The command that writes a configuration."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oresight.tasks.modelconfig import Model

if TYPE_CHECKING:
    from oresight.tasks.formats.preview import Preview

MODEL = Model().name
WITH_TRUSTED = {
    "plan": "says what a run takes: rows, time, memory and disk",
    "curate": "runs it",
}
"""What to run next, with its purpose."""
WITHOUT_TRUSTED = {
    "trust": "shows rows for you to keep, drop or correct; with trusted rows, the rows are kept that teach what these"
    " ask, and wrong rows are flagged at a stated error rate",
    "curate": "then uses these rows; without any it checks all rows, draws those it keeps, and claims no error rate",
}
"""What to run next where there are no trusted rows."""


def init(
    data: Annotated[str, typer.Argument(metavar="FILE", help="Your rows: a file, a folder, a glob or hf:owner/name.")],
    trusted: Annotated[
        str | None, typer.Option(metavar="FILE", help="Rows that you trust. Without them, `oresight trust` makes some.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="CONFIG.yaml", help="The file to write. Default: oresight.yaml beside FILE.")
    ] = None,
    model: Annotated[str, typer.Option(help="The model that scores the rows: its name, folder or hub id.")] = MODEL,
    split: Annotated[str | None, typer.Option(help="The split to read, where FILE holds several.")] = None,
) -> None:
    """Write a configuration for your rows: look at the first ones, find their layout, and check the model."""
    from oresight.tasks.draft import default_file  # here, because this imports what reads files
    from oresight.tasks.draft import draft as draft_config

    file = to or default_file(data)
    if file.exists() or file.is_symlink():
        raise ValueError(f"{file.absolute()}: exists and is never overwritten; give another path with --to")
    if not file.absolute().parent.is_dir():
        raise ValueError(f"{file.absolute().parent}: no such folder; make it first")
    draft = draft_config(file, data, split, trusted, model)
    from oresight.tasks.scoring.source import require_available

    require_available(model)
    with file.open("x", encoding="utf-8") as stream:
        stream.write(draft.text)
    for preview in filter(None, (draft.dataset, draft.trusted)):
        _print_preview(preview)
    if "image" in draft.dataset.parts and model == MODEL:
        typer.echo(f"  {MODEL} sees no pictures: name the vision-language model that you finetune as model.name")
    typer.echo(f"{file}: written; it says what each key does\n")
    for command, purpose in (WITH_TRUSTED if trusted else WITHOUT_TRUSTED).items():
        typer.echo(f"oresight {command} {shlex.quote(str(file))}\n  {purpose}")


def _print_preview(preview: "Preview") -> None:
    """Which column holds what, by the first rows."""
    typer.echo(f"{preview.section.path}: layout {preview.layout}, by the first {preview.rows} rows")
    for part, columns in preview.parts.items():
        typer.echo(f"  {part:<9} {', '.join(columns)}")
    if preview.unread:
        typer.echo(f"  {'not read':<9} {', '.join(preview.unread)}")
    for remark in preview.remarks:
        typer.echo(f"  {remark}")
