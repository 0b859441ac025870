"""Run commands, each in a process that is forked from this one, and print how they ended as JSON."""

import json
import os
import signal
import sys
import tempfile
import time

from oresight.flows.cli import main

LIMIT_S = 120
"""Seconds after which a command that does not end is killed."""


def ended(how: str, arguments: list[str]) -> dict[str, str | int]:
    """The exit code and the output of a command. how: 'read', 'closed' (nobody reads its output) or 'interrupted'."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores Ctrl-C
            signal.alarm(LIMIT_S)
            read_end, write_end = os.pipe()
            os.close(read_end)
            os.dup2(write_end if how == "closed" else out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
            sys.argv = ["oresight", *arguments]
            code = 99
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        if how == "interrupted":
            time.sleep(1)
            os.kill(child, signal.SIGINT)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        texts = {"out": out.read().decode(), "err": err.read().decode()}
        return {"code": os.waitstatus_to_exitcode(status), **texts}


if __name__ == "__main__":
    print(json.dumps({name: ended(*case) for name, case in json.load(sys.stdin).items()}))
