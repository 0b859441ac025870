"""The flows. Importing this package configures Prefect: no analytics, and log lines only on Prefect's own pages."""

import atexit
import gc
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

# Prefect and tqdm read these when they are first imported. Values that the user has set stay.
for _name, _value in {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",  # its pages load files from an outside host
    "PREFECT_LOGGING_EXTRA_LOGGERS": "oresight",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",  # a server answers so while its database is unreachable
    "TQDM_DISABLE": "1",  # progress bars of other libraries; ours are in tasks/runs/progress.py
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}.items():
    os.environ.setdefault(_name, _value)

_prefect_home = Path(os.path.expanduser(os.environ.get("PREFECT_HOME", "~/.prefect")))  # noqa: PTH111  raises nothing
with suppress(OSError):
    _prefect_home.mkdir(parents=True, exist_ok=True)
if not os.access(_prefect_home, os.W_OK):
    # The temporary server of a run would wait two minutes for a database that it cannot make.
    os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="oresight-prefect-")
    atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], True)  # whatever the errors


def collect_seldom() -> None:
    """Collect garbage once for 10,000 new objects, not for 700, in a process that is ours alone.

    Collections take a third of the time of a start, which makes a million objects that stay.
    """
    gc.set_threshold(10_000, 20, 100)


if "PREFECT__FLOW_RUN_ID" in os.environ:  # a worker has started this process for one run
    collect_seldom()
