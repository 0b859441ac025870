"""How a command ends: every error becomes one line on standard error and an exit code, here and nowhere else.

0 done, 1 refused, 2 unusable input, 3 a step failed (run it again), 130 ended by Ctrl-C.
"""

import errno
import os
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from oresight.flows.commands.output import with_config
from oresight.tasks.database import DatabaseBusy, DatabaseDamaged
from oresight.tasks.pages.texts import visible
from oresight.tasks.runs.faults import ResourceExhausted, Unreachable, explain_faults
from oresight.tasks.runs.record import Refused

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as of other programs."""
FILES = 256
"""Files that a process must be able to open: those of the database, of the rows and of libraries."""
PATHS = {
    errno.EACCES: "give this user the permission, or name another path",
    errno.EPERM: "give this user the permission, or name another path",
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP), "name another path"),
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENXIO), "move it away, or name another path"),
    errno.ENOENT: "it may have been removed meanwhile; put it back, or name another path",
}
"""Errors of the operating system about a path that the user can change, with the cure."""


def exit_code_of(work: Callable[[], None]) -> int:
    """Run a command; returns its exit code, after a line on standard error if it failed."""
    try:
        with explain_faults():
            _require_files()
            work()
            sys.stdout.flush()
        return 0
    except SystemExit as ended:
        return _end(ended)
    except BrokenPipeError:
        return _unread()
    except Refused as error:
        return _complain(f"refused: {error}", 1)
    except (DatabaseBusy, DatabaseDamaged, ResourceExhausted, Unreachable) as error:
        return _complain(str(error), 3)
    except KeyboardInterrupt:
        return _complain("interrupted; what is stored stays", INTERRUPTED)
    except OSError as error:
        if error.filename is None or error.errno not in PATHS:
            return _unexpected(error)
        path = Path(os.fsdecode(error.filename)).absolute()
        return _complain(f"{path}: {error.strerror}; {PATHS[error.errno]}", 2)
    except ValueError as error:
        return _complain(str(error), 2) if _is_ours(error) else _unexpected(error)
    except Exception as error:
        return _unexpected(error)


def _require_files() -> None:
    """Let this process open FILES files: DuckDB ends one that cannot open what it needs. Raises ResourceExhausted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= FILES or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise ResourceExhausted(f"this process may open {hard} files only, and needs {FILES}; raise it: ulimit -n 1024")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


def _is_ours(error: ValueError) -> bool:
    """Whether our own code raised it, with a sentence for the user. A library says what it did not expect."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and str(frames[-1].f_globals.get("__name__")).startswith("oresight.")


def _unexpected(error: Exception) -> int:
    """The line for an error that nothing else explains."""
    if str(error).startswith("Symlink loop from"):  # pathlib's words for ELOOP
        return _complain(f"{error}; {PATHS[errno.ELOOP]}", 2)
    if os.environ.get("ORESIGHT_TRACEBACK"):
        traceback.print_exception(error)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _complain(f"{what}; run again to continue, with ORESIGHT_TRACEBACK=1 to see where it failed", 3)


def _end(ended: SystemExit) -> int:
    """The exit code of a command that ended by itself."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _unread()
    if isinstance(ended.__context__, BrokenPipeError):
        return _unread()
    code = int(ended.code or 0)
    return _complain("interrupted; what is stored stays", code) if code == INTERRUPTED else code


def _unread() -> int:
    """The exit code of a command whose reader has left (`| head -1`): it has done its work."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes when it ends
    return 0


def _complain(message: str, code: int) -> int:
    """Print one line on stderr; returns the exit code."""
    sys.stderr.write(f"oresight: {visible(with_config(' '.join(message.split())))}\n")
    return code
