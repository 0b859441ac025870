"""The name of the user who decides."""

import getpass
import os


def user_name() -> str:
    """The user's name; the number of a user that has no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
