"""The artifacts of a run in the Prefect UI. They never hold the text of rows, which stands in the report only.

A browser opens no file from a page of a server, so artifacts name files by path, with a command that opens them.
"""

import base64
import platform
from pathlib import Path
from typing import Any

from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from oresight.tasks.database import reading, records
from oresight.tasks.report import Reported
from oresight.tasks.runs.progress import BestEffort
from oresight.tasks.split import Split

PLOTS = {
    "histogram": "Values of the rows; flagged ones in colour",
    "detectability": "How well planted defects are told from trusted rows: AUC with its 95% interval",
    "calibration": "Stated against measured share of false flags",
    "sources": "Flagged rows by file",
}


@BestEffort()
def show_findings(name: str, counts: dict[str, int], reported: Reported) -> None:
    """Show counts as a table, a summary as markdown, and plots as images."""
    create_table_artifact([{"what": k, "rows": v} for k, v in counts.items()], key=artifact_key(name, "counts"))
    said = [f"- {sentence}" for sentence in reported.verdict]
    lines = [f"# {name}", "", *said, "", *(f"- {what}: {n:,}" for what, n in counts.items())]
    lines += ["", "## Defects that this model can detect", "", *_table(_kinds(reported.kinds))]
    lines += ["", "## The most suspicious flagged rows", "", *_table(reported.worst)]
    lines += ["", f"The report shows their text: `{reported.page.resolve()}`"]
    create_markdown_artifact("\n".join(lines) + "\n", key=artifact_key(name, "summary"))
    for plot, title in PLOTS.items():
        if svg := reported.plots[plot]:
            data = base64.b64encode(svg.encode()).decode()
            create_image_artifact(f"data:image/svg+xml;base64,{data}", key=artifact_key(name, plot), description=title)
    report = [f"# Report of {name}", "", *said, "", *_where(reported.page)]
    create_markdown_artifact("\n".join(report) + "\n", key=artifact_key(name, "report"))


@BestEffort()
def show_split(database: str, decided: Split, folder: Path) -> None:
    """Show where the published folder is, and its lineage as a graph."""
    with reading(database) as connection:
        edges = records(connection, "lineage_of", {"split": decided.name, "version": decided.version})
    head = f"Rows kept: {decided.rows_kept:,}. Rows dropped: {decided.rows_dropped:,}."
    split = [f"# {decided.name}/v{decided.version}", "", head, "", *_where(folder)]
    create_markdown_artifact("\n".join(split) + "\n", key=artifact_key(decided.name, "split"))
    create_markdown_artifact(_mermaid(edges), key=artifact_key(decided.name, "lineage"))


def _where(path: Path) -> list[str]:
    """Where a file or folder is, and the command that opens it there, as markdown."""
    path = path.resolve()
    return [
        f"It is on the machine `{platform.node()}`:", "", "```", str(path), "```", "",
        "This command opens it there:", "", "```", f"python3 -m webbrowser {path.as_uri()}", "```",
    ]  # fmt: skip


def artifact_key(name: str, part: str) -> str:
    """The key of an artifact. Prefect accepts lowercase letters, digits and dashes."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in f"{name} {part}".lower()).split())


def _kinds(kinds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Detectability of each kind of planted defect, as rows of a table."""
    return [
        {
            "planted defect": kind["canary"],
            "AUC": f"{kind['auc']:.2f} ({kind['auc_low']:.2f} to {kind['auc_high']:.2f})",
            "detectable": "yes" if kind["detectable"] else "**no**",
            "planted": kind["canaries"],
        }
        for kind in kinds
    ]


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows as a markdown table."""
    if not rows:
        return ["none"]
    cells = [[str("" if cell is None else cell).replace("|", "\\|") for cell in row.values()] for row in rows]
    return [f"| {' | '.join(line)} |" for line in [list(rows[0]), ["---"] * len(rows[0]), *cells]]


def _mermaid(edges: list[dict[str, Any]]) -> str:
    """Edges as a Mermaid graph, and as a table for pages that do not draw Mermaid."""
    ends = [(edge[f"{end}_kind"], edge[end]) for edge in edges for end in ("parent", "child")]
    numbers = {node: f"n{i}" for i, node in enumerate(dict.fromkeys(ends))}
    label = {node: f"{node[0]}: {node[1]}".replace('"', "'") for node in numbers}
    lines = [f'    {number}["{label[node]}"]' for node, number in numbers.items()]
    lines += [f"    {numbers[a]} --> {numbers[b]}" for a, b in zip(ends[::2], ends[1::2], strict=True)]
    rows = [{"this": label[end], "comes from": label[start]} for start, end in zip(ends[::2], ends[1::2], strict=True)]
    return "\n".join(["```mermaid", "graph LR", *lines, "```", "", *_table(rows), ""])
