"""Events that automations listen to: oresight.waiting, oresight.refused, oresight.failed, oresight.drifted."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.events import emit_event

from tasks.config import Curate
from tasks.progress import log
from tasks.run import Refused, Waiting
from tasks.split import Split


@contextmanager
def told(config: Curate) -> Iterator[None]:
    """Give notice of how a run ends, unless it ends well."""
    try:
        yield
    except Waiting as waiting:
        _notice("waiting", config, str(waiting))
        raise
    except Refused as refused:
        _notice("refused", config, str(refused))
        raise
    except Exception as error:
        _notice("failed", config, f"{type(error).__name__}: {error}")
        raise


def notice_drift(config: Curate, decided: Split) -> None:
    """Give notice if the share of flagged rows has moved by more than `flagging.drift` since the version before."""
    if decided.moved is not None and abs(decided.moved) > config.flagging.drift:
        what = f"the share of flagged rows has moved by {100 * decided.moved:+.1f} points"
        message = f"{decided.name}/v{decided.version}: {what}; flagging.drift is {config.flagging.drift:g}"
        log().warning("split: %s", message)
        _notice("drifted", config, message)


def _notice(what: str, config: Curate, message: str) -> None:
    resource = {
        "prefect.resource.id": f"oresight.split.{config.splitting.name}",
        "prefect.resource.name": config.splitting.name,
    }
    emit_event(f"oresight.{what}", resource, payload={"message": message, "dataset": config.dataset.name})
