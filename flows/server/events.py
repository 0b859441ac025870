"""Events that automations listen to: oresight.waiting, oresight.refused, oresight.failed, oresight.drifted."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.events import emit_event

from oresight.tasks.config import Curate
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Refused, Waiting
from oresight.tasks.split import Split


@contextmanager
def emit_outcome(config: Curate) -> Iterator[None]:
    """Emit an event if a run waits for approval, is refused or fails. Raises the run's exception again."""
    try:
        yield
    except Waiting as waiting:
        _emit("waiting", config, str(waiting))
        raise
    except Refused as refused:
        _emit("refused", config, str(refused))
        raise
    except Exception as error:
        _emit("failed", config, f"{type(error).__name__}: {error}")
        raise


def emit_drift(config: Curate, decided: Split) -> None:
    """Emit an event if the share of flagged rows moved by more than `flagging.drift` since the previous version."""
    if decided.moved is not None and abs(decided.moved) > config.flagging.drift:
        change = f"the share of flagged rows has moved by {100 * decided.moved:+.1f} points"
        message = f"{decided.name}/v{decided.version}: {change}; flagging.drift is {config.flagging.drift:g}"
        log().warning("split: %s", message)
        _emit("drifted", config, message)


def _emit(event: str, config: Curate, message: str) -> None:
    """Emit `oresight.EVENT` about the configured split."""
    resource = {
        "prefect.resource.id": f"oresight.split.{config.splitting.name}",
        "prefect.resource.name": config.splitting.name,
    }
    emit_event(f"oresight.{event}", resource, payload={"message": message, "dataset": config.dataset.name})
