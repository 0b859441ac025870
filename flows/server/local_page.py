"""Serves a page for people on this machine. Loopback only, and no page of another site gets an answer."""

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from fastapi import Request
from nicegui import app, ui
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WAIT_S = 120
"""Longest time that a page may take to build: it can have to wait for a process that writes to the database."""
STYLE = """
body { overflow-wrap: anywhere }
.q-header { background: #fff; color: #1a1a1a; border-bottom: 1px solid #d0d0d0 }
.q-footer { background: #fff; color: #1a1a1a; border-top: 1px solid #d0d0d0 }
.body--dark .q-header, .body--dark .q-footer { background: #1d1d1d; color: #eee; border-color: #444 }
.muted { color: #555 } .body--dark .muted { color: #b8b8b8 }
.reason { color: #a00000 } .body--dark .reason { color: #ff9a90 }
.q-chip { height: auto } .q-chip__content { white-space: normal }
.row-text { white-space: pre-wrap }
.listed { display: grid; grid-template-columns: 5rem 7.5rem 11rem 1fr 1fr; gap: 0 .8rem; width: 100%;
          padding: .25rem .4rem; border-bottom: 1px solid #8884; color: inherit; text-decoration: none;
          font-size: .85rem }
.listed > * { overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
.listed:hover, .listed:focus { background: #8882 }
.filters { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .4rem; width: 100% }
@media (max-width: 640px) {
  .filters { grid-template-columns: repeat(3, minmax(0, 1fr)) } .filters > :last-child { grid-column: span 2 }
  .key-hint { display: none }
  .listed { grid-template-columns: 5rem 1fr } .listed > :nth-child(n+4) { grid-column: 1 / -1 }
  .listed > :nth-child(3) { grid-column: 1 / -1 }
}
"""
FOLLOW_HASH = """<script>
const follow = () => {
  if (location.hash.length < 2) return;
  const url = new URL(location); url.searchParams.set("id", url.hash.slice(1)); url.hash = ""; location.replace(url);
};
follow();
addEventListener("hashchange", follow);
addEventListener("popstate", () => location.hash || location.reload());
</script>"""
"""/#ID is the address of a row as /?id=ID is. A browser sends only the second to the server."""


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


def serve(build: Callable[[QueryParams], Awaitable[None]], title: str, *, port: int, show: bool) -> None:
    """Serve a page until it is interrupted. build: builds the page for each visitor anew, from the query of its URL.

    Raises ValueError if the port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ValueError(f"--port: {port} cannot be used ({error.strerror}); give another") from error

    @ui.page("/", response_timeout=WAIT_S)
    async def page(request: Request) -> None:
        ui.add_css(STYLE)
        ui.add_head_html(FOLLOW_HASH)
        ui.on_exception(lambda error: ui.notify(str(error), type="negative"))
        try:
            await build(request.query_params)
        except (ValueError, RuntimeError) as error:
            ui.label(str(error))

    app.add_middleware(OwnPagesOnly)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    with suppress(KeyboardInterrupt):  # Ctrl-C is how a session ends
        ui.run(host="127.0.0.1", port=port, title=title, show=show, reload=False, dark=None)
