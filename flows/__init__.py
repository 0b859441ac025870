"""The flows. Importing this package makes Prefect quiet: no analytics, its log lines kept for its own pages."""

import os

# Read when Prefect and tqdm are first imported; what the user has set stays.
for _name, _value in {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",  # its pages ask an outside host from the browser
    "PREFECT_LOGGING_EXTRA_LOGGERS": "oresight",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",  # what a server says whose database is away for a moment
    "TQDM_DISABLE": "1",  # other libraries' bars; ours are in tasks/runs/progress.py
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}.items():
    os.environ.setdefault(_name, _value)
