"""The pages on which a person decides about rows, keep, drop or another answer, with one key. Loopback only.

The review page shows flagged rows with their evidence. The trust page shows a diverse sample of all rows, without what
the model says of them: a person who sees that decides another way.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from html import escape
from typing import Any

from nicegui import app, run, ui
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oresight.tasks.config import Curate
from oresight.tasks.review import Page, Verdict, decide, precision

KEYS: dict[str, Verdict] = {"k": "keep", "d": "drop", "u": "undo"}
Rows = Callable[[], list[dict[str, Any]]]
COLORS = {"keep": "positive", "drop": "negative", "relabel": "primary"}


class Review:
    """The state of one visitor: the queue of flagged rows and the position in it."""

    page: Page = "review"
    title = "oresight review"
    empty = "No row is flagged with a warning or scored, so there is nothing to review."
    question = "Is this answer right?"
    relabel, relabel_key = "relabel", "R"
    summary_id = "precision"

    def __init__(self, config: Curate, who: str, rows: list[dict[str, Any]]) -> None:
        self.config, self.who, self.rows = config, who, rows
        self.position = next((i for i, row in enumerate(self.rows) if not row["verdict"]), 0)

    def _kind(self) -> str:
        """What the rows are."""
        is_flagged = any(row["flags"] for row in self.rows)
        return "flagged rows" if is_flagged else "rows that look most suspicious (none is flagged)"

    def build(self) -> None:
        """Build the page: the row with its evidence, the buttons, the result so far."""
        ui.keyboard(on_key=self._pressed)
        with ui.column().classes("w-full max-w-3xl mx-auto gap-2 p-2"):
            self._row()
            with ui.row().classes("items-center gap-2"):
                for key, verdict in {"K": "keep", "D": "drop"}.items():
                    ui.button(f"{verdict} ({key})", on_click=lambda v=verdict: self._decide(v), color=COLORS[verdict])
                ui.button(f"{self.relabel} ({self.relabel_key})", on_click=self._relabel, color="primary")
                ui.button("undo (U)", on_click=lambda: self._decide("undo"), color="grey")
                ui.button("back (←)", on_click=lambda: self._go(-1)).props("flat")
                ui.button("next (→)", on_click=lambda: self._go(1)).props("flat")
            self.answer = ui.textarea("the right answer, then Enter; Shift+Enter is a new line").classes("w-full")
            self.answer.props("autogrow").on("keydown.enter.exact.prevent", lambda: self._decide("relabel"))
            self.answer.visible = False
            self.why = ui.input("reason (optional): write it, press Enter, then give the verdict").classes("w-full")
            self.why.on("keydown.enter", lambda: self.why.run_method("blur"))  # so that keys give verdicts again
            self._summary()

    @ui.refreshable_method
    def _row(self) -> None:
        if not self.rows:
            ui.label(self.empty)
            return
        row = self.rows[self.position]
        decided = sum(other["verdict"] is not None for other in self.rows)
        position = f"{self.position + 1} of {len(self.rows)} {self._kind()}, {decided} decided"
        ui.label(position).props("data-testid=place")
        ui.label(self.question).classes("text-grey-8")
        if row["verdict"]:
            verdict = self.relabel if row["verdict"] == "relabel" else row["verdict"]
            text = f"{verdict} by {row['who']}" + (f": {row['right_answer']}" if row["right_answer"] else "")
            ui.chip(text, color=COLORS[row["verdict"]], text_color="white").props("data-testid=verdict")
        for picture in row["pictures"]:
            if picture["data"]:
                ui.image(f"data:image/jpeg;base64,{picture['data']}").classes("w-64").style(
                    "image-rendering: pixelated"
                )
        ui.label(row["prompt"]).classes("whitespace-pre-wrap max-h-48 overflow-auto")
        self._answer(row)
        ui.label(f"{row['sample_id'][:12]}, {row['source_file']}, line {row['source_line']}").classes(
            "text-xs text-grey-7"
        )

    def _answer(self, row: dict[str, Any]) -> None:
        """The answer, with the evidence for and against it."""
        if row["token_shares"]:
            ui.html(_tokens_html(row["token_shares"]), sanitize=False).classes("text-lg max-h-64 overflow-auto")
        else:
            ui.label(row["answer"]).classes("text-lg whitespace-pre-wrap max-h-64 overflow-auto")
        if row["model_answer"] is not None:
            ui.label(f"the model's own answer: {row['model_answer']}").classes("text-grey-8")
        for flag in row["flags"] or []:
            ui.label(f"{flag['check']}: {flag['reason']}").classes("text-red-9 text-sm")
        with ui.expansion("rows that speak for and against this answer").classes("w-full"):
            for other in row["influences"]:
                effect = "raises" if other["value"] > 0 else "lowers"
                text = f"trusted row, {effect} the value: {other['prompt']} → {other['answer']}"
                ui.label(text).classes("text-sm")
            for other in row["neighbours"]:
                ui.label(f"similar row without a flag: {other['prompt']} → {other['answer']}").classes("text-sm")

    @ui.refreshable_method
    def _summary(self) -> None:
        for line in self._result():
            ui.label(line).classes("text-sm text-grey-8").props(f"data-testid={self.summary_id}")

    def _result(self) -> list[str]:
        """How often people confirmed the flags of each check."""
        return [
            f"{check['check_name']}: {check['confirmed']:.0f} of {check['reviewed']} flags reviewed are confirmed,"
            f" precision {check['precision']:.0%} ({check['low']:.0%} to {check['high']:.0%})"
            for check in precision(self.config)
        ]

    async def _pressed(self, event: Any) -> None:
        if not event.action.keydown or event.action.repeat or event.modifiers.ctrl or event.modifiers.meta:
            return
        key = event.key.name.lower()
        if key in KEYS:
            await self._decide(KEYS[key])
        elif key in ("r", "c"):
            self._relabel()
        elif key in ("arrowright", "arrowleft"):
            self._go(1 if key == "arrowright" else -1)

    def _relabel(self) -> None:
        if self.rows:
            row = self.rows[self.position]
            self.answer.value, self.answer.visible = row["right_answer"] or row["answer"], True
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
                decide, self.config, row["sample_id"], verdict,
                answer=answer, why=self.why.value or "", who=self.who, page=self.page,
            )  # fmt: skip
        except (ValueError, RuntimeError) as error:
            ui.notify(str(error), type="negative")
            return
        row.update(
            verdict=None if verdict == "undo" else verdict, who=self.who, right_answer=answer, why=self.why.value
        )
        self.why.value = ""
        self._summary.refresh()
        self._go(0 if verdict == "undo" else 1)


class Trust(Review):
    """The state of one visitor of the trust page: the sample and the position in it."""

    page: Page = "trust"
    title = "oresight trust"
    empty = "The dataset has no row that is not trusted already."
    question = "Do you want your model to answer like this?"
    relabel, relabel_key = "correct", "C"
    summary_id = "trusted"

    def _kind(self) -> str:
        return "rows"

    def _answer(self, row: dict[str, Any]) -> None:
        ui.label(row["answer"]).classes("text-lg whitespace-pre-wrap max-h-64 overflow-auto")

    def _result(self) -> list[str]:
        """How many rows are trusted, and what to do next."""
        verdicts = [row["verdict"] for row in self.rows]
        trusted, corrected = len(verdicts) - verdicts.count(None) - verdicts.count("drop"), verdicts.count("relabel")
        after = "" if None in verdicts else "; `oresight curate` uses them, and --rows offers more"
        return [f"{trusted} rows are trusted, {corrected} of them corrected{after}"]


def _tokens_html(tokens: list[dict[str, Any]]) -> str:
    """The answer as HTML, each token coloured by its value as in the report. Text of rows is escaped."""
    spans = []
    for token in tokens:
        color = "0, 120, 60" if token["share"] > 0 else "200, 0, 0"
        title = f"value {token['value']:.3g}, log-probability {token['logprob']:.2f}"
        style = f"background: rgba({color}, {0.6 * abs(token['share']):.2f}); white-space: pre-wrap"
        spans.append(f'<span title="{title}" style="{style}">{escape(token["token"])}</span>')
    return "".join(spans)


class OwnPagesOnly:
    """Refuses requests and sockets of other pages, and tells browsers to show this page in no frame of theirs.

    A browser opens a socket to this machine for any page. It names the origin of the page, which must be the host that
    it asks; TrustedHostMiddleware has refused all names but those of this machine.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or socket."""

        async def send_unframed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = "frame-ancestors 'none'"
                headers["X-Frame-Options"] = "DENY"
            await send(message)

        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            if headers.get("origin") not in (None, f"http://{headers.get('host')}"):
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": 1008})
                else:
                    await PlainTextResponse("a page of another site", 403)(scope, receive, send_unframed)
                return
        await self.app(scope, receive, send_unframed)


def serve(kind: type[Review], config: Curate, who: str, rows: Rows, *, port: int, show: bool) -> None:
    """Serve a page until it is interrupted. rows: reads the rows to show, for each visitor anew.

    Raises ValueError if the port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ValueError(f"--port: {port} cannot be used ({error.strerror}); give another") from error

    @ui.page("/")
    def page() -> None:
        try:
            kind(config, who, rows()).build()
        except (ValueError, RuntimeError) as error:
            ui.label(str(error))

    app.add_middleware(OwnPagesOnly)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    with suppress(KeyboardInterrupt):  # Ctrl-C is how a session ends
        ui.run(host="127.0.0.1", port=port, title=kind.title, show=show, reload=False, dark=None)
