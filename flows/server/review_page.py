"""The review page: a person sees flagged rows and decides keep, drop or relabel with one key. Loopback only."""

import socket
from html import escape
from typing import Any

from nicegui import app, run, ui
from starlette.middleware.trustedhost import TrustedHostMiddleware

from oresight.tasks.review import Verdict, decide, precision, review_queue
from oresight.tasks.runs.record import Run

KEYS: dict[str, Verdict] = {"k": "keep", "d": "drop", "u": "undo"}
COLORS = {"keep": "positive", "drop": "negative", "relabel": "primary"}


class Review:
    """The state of one visitor: the queue of flagged rows and the position in it."""

    def __init__(self, review: Run, who: str) -> None:
        self.config, self.who = review.config, who
        self.rows: list[dict[str, Any]] = review_queue(review)
        self.position = next((i for i, row in enumerate(self.rows) if not row["verdict"]), 0)

    def build(self) -> None:
        """Build the page: the row with its evidence, the buttons, the measured precision."""
        ui.keyboard(on_key=self._pressed)
        with ui.column().classes("w-full max-w-3xl mx-auto gap-2 p-2"):
            self._row()
            with ui.row().classes("items-center gap-2"):
                for key, verdict in {"K": "keep", "D": "drop"}.items():
                    ui.button(f"{verdict} ({key})", on_click=lambda v=verdict: self._decide(v), color=COLORS[verdict])
                ui.button("relabel (R)", on_click=self._relabel, color="primary")
                ui.button("undo (U)", on_click=lambda: self._decide("undo"), color="grey")
                ui.button("back (←)", on_click=lambda: self._go(-1)).props("flat")
                ui.button("next (→)", on_click=lambda: self._go(1)).props("flat")
            self.answer = ui.textarea("the right answer, then Enter; Shift+Enter is a new line").classes("w-full")
            self.answer.props("autogrow").on("keydown.enter.exact.prevent", lambda: self._decide("relabel"))
            self.answer.visible = False
            self.why = ui.input("reason (optional): write it, press Enter, then give the verdict").classes("w-full")
            self.why.on("keydown.enter", lambda: self.why.run_method("blur"))  # so that keys give verdicts again
            self._measured()

    @ui.refreshable_method
    def _row(self) -> None:
        if not self.rows:
            ui.label("No row is flagged with a warning, so there is nothing to review.")
            return
        row = self.rows[self.position]
        decided = sum(other["verdict"] is not None for other in self.rows)
        ui.label(f"{self.position + 1} of {len(self.rows)} flagged rows, {decided} decided").props("data-testid=place")
        if row["verdict"]:
            text = f"{row['verdict']} by {row['who']}" + (f": {row['right_answer']}" if row["right_answer"] else "")
            ui.chip(text, color=COLORS[row["verdict"]], text_color="white").props("data-testid=verdict")
        for picture in row["pictures"]:
            if picture["data"]:
                ui.image(f"data:image/jpeg;base64,{picture['data']}").classes("w-64").style(
                    "image-rendering: pixelated"
                )
        ui.label(row["prompt"]).classes("whitespace-pre-wrap max-h-48 overflow-auto")
        if row["token_shares"]:
            ui.html(_tokens_html(row["token_shares"]), sanitize=False).classes("text-lg max-h-64 overflow-auto")
        else:
            ui.label(row["answer"]).classes("text-lg whitespace-pre-wrap max-h-64 overflow-auto")
        if row["model_answer"] is not None:
            ui.label(f"the model's own answer: {row['model_answer']}").classes("text-grey-8")
        for flag in row["flags"]:
            ui.label(f"{flag['check']}: {flag['reason']}").classes("text-red-9 text-sm")
        with ui.expansion("rows that speak for and against this answer").classes("w-full"):
            for other in row["influences"]:
                effect = "raises" if other["value"] > 0 else "lowers"
                text = f"trusted row, {effect} the value: {other['prompt']} → {other['answer']}"
                ui.label(text).classes("text-sm")
            for other in row["neighbours"]:
                ui.label(f"similar row without a flag: {other['prompt']} → {other['answer']}").classes("text-sm")
        ui.label(f"{row['sample_id'][:12]}, {row['source_file']}, line {row['source_line']}").classes(
            "text-xs text-grey-7"
        )

    @ui.refreshable_method
    def _measured(self) -> None:
        for check in precision(self.config):
            ui.label(
                f"{check['check_name']}: {check['confirmed']:.0f} of {check['reviewed']} flags reviewed are confirmed,"
                f" precision {check['precision']:.0%} ({check['low']:.0%} to {check['high']:.0%})"
            ).classes("text-sm text-grey-8").props("data-testid=precision")

    async def _pressed(self, event: Any) -> None:
        if not event.action.keydown or event.action.repeat or event.modifiers.ctrl or event.modifiers.meta:
            return
        key = event.key.name.lower()
        if key in KEYS:
            await self._decide(KEYS[key])
        elif key == "r":
            self._relabel()
        elif key in ("arrowright", "arrowleft"):
            self._go(1 if key == "arrowright" else -1)

    def _relabel(self) -> None:
        if self.rows:
            self.answer.value, self.answer.visible = self.rows[self.position]["answer"], True
            ui.timer(0.05, lambda: self.answer.run_method("focus"), once=True)  # after it has become visible

    def _go(self, steps: int) -> None:
        self.position = min(max(self.position + steps, 0), max(len(self.rows) - 1, 0))
        self.answer.visible = False
        self._row.refresh()

    async def _decide(self, verdict: Verdict) -> None:
        """Store the verdict and go to the next row. An error is shown, and the page stays at the row."""
        if not self.rows:
            return
        self.answer.run_method("blur")
        row, answer = self.rows[self.position], self.answer.value if verdict == "relabel" else None
        try:
            await run.io_bound(
                decide, self.config, row["sample_id"], verdict, answer=answer, why=self.why.value or "", who=self.who
            )
        except (ValueError, RuntimeError) as error:
            ui.notify(str(error), type="negative")
            return
        row.update(
            verdict=None if verdict == "undo" else verdict, who=self.who, right_answer=answer, why=self.why.value
        )
        self.why.value = ""
        self._measured.refresh()
        self._go(0 if verdict == "undo" else 1)


def _tokens_html(tokens: list[dict[str, Any]]) -> str:
    """The answer as HTML, each token coloured by its value as in the report. Text of rows is escaped."""
    spans = []
    for token in tokens:
        color = "0, 120, 60" if token["share"] > 0 else "200, 0, 0"
        title = f"value {token['value']:.3g}, log-probability {token['logprob']:.2f}"
        style = f"background: rgba({color}, {0.6 * abs(token['share']):.2f}); white-space: pre-wrap"
        spans.append(f'<span title="{title}" style="{style}">{escape(token["token"])}</span>')
    return "".join(spans)


def serve(review: Run, who: str, port: int, *, show: bool) -> None:
    """Serve the page until it is interrupted. Raises ValueError if the port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ValueError(f"--port: {port} cannot be used ({error.strerror}); give another") from error

    @ui.page("/")
    def page() -> None:
        try:
            Review(review, who).build()
        except (ValueError, RuntimeError) as error:
            ui.label(str(error))

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    ui.run(host="127.0.0.1", port=port, title="oresight review", show=show, reload=False, dark=None)
