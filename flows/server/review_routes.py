"""What the review page serves besides the page: the report, and the flags as a file."""

import shutil
import tempfile
from pathlib import Path
from typing import Literal

from fastapi import Request
from nicegui import app
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, PlainTextResponse, Response

from oresight.flows.server.review_page import REPORT, report_path
from oresight.tasks.reviewing.export import export_flags
from oresight.tasks.reviewing.queue import Filter
from oresight.tasks.runs.record import Run


def add_routes(run: Run) -> None:
    """Answer REPORT with the report, and /flags.csv and /flags.parquet with the flags that pass the URL's filter."""

    @app.get(REPORT)
    def report() -> Response:
        file = report_path(run)
        return FileResponse(file) if file.is_file() else PlainTextResponse(f"{file}: no such file", 404)

    @app.get("/flags.{form}")
    def flags(request: Request, form: Literal["csv", "parquet"]) -> Response:
        folder = Path(tempfile.mkdtemp(prefix="oresight-flags-"))
        cleared = BackgroundTask(shutil.rmtree, folder)
        try:
            export_flags(run, folder / f"flags.{form}", Filter.from_query(request.query_params))
        except (ValueError, RuntimeError) as error:
            return PlainTextResponse(str(error), 400, background=cleared)
        return FileResponse(folder / f"flags.{form}", filename=f"flags.{form}", background=cleared)
