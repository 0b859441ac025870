"""Keys of the configuration that hold a local path: relative to the file that they stand in.

A path given with `--set` is relative to the current folder, because a shell completes it so. A path becomes as short as
is right: relative to the current folder if it lies below it, else absolute.
"""

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator

MODELS = ("smollm2-135m-instruct", "easy-vqa-llava")
"""Names of models that come with the installation. They are never paths."""


class Typed(str):
    """A text that was typed in a shell."""

    __slots__ = ()


@dataclass(frozen=True)
class Base:
    """The context of a validation: where relative paths start."""

    folder: Path
    """The folder of the configuration file."""
    is_absolute: bool = False
    """Whether all paths become absolute, for a process in another folder."""

    def resolve(self, text: str) -> str:
        """The path that a text names."""
        return self.spell(self.folder / Path(text).expanduser())

    def spell(self, path: Path) -> str:
        """A path, absolute or as short as is right."""
        absolute, here = Path(os.path.abspath(path)), Path.cwd()  # noqa: PTH100  without following links
        if absolute.resolve() != path.resolve():  # a folder above `..` is a link
            absolute = path.resolve()
        is_below = absolute.is_relative_to(here) and here != Path(here.anchor)
        return str(absolute.relative_to(here) if is_below and not self.is_absolute else absolute)


def is_elsewhere(text: str) -> bool:
    """Whether a text names no local path: a URL, or a name on the hub."""
    return text.startswith("hf:") or "://" in text


def relative(path: str, folder: str) -> str:
    """A path from a folder, or the absolute path if the folder is empty. What is no local path stays."""
    if is_elsewhere(path):
        return path
    return os.path.relpath(path, folder) if folder else str(Path(path).absolute())


def beside(path: str, file: Path) -> str:
    """How a file names a path: relative to its folder, unless the path was given as absolute and lies elsewhere."""
    folder = file.absolute().parent
    named = relative(path, str(folder))
    is_elsewhere_on_disk = Path(path).is_absolute() and named.startswith("..")
    leads_there = (folder / named).resolve() == Path(path).resolve()  # it does not where a folder above `..` is a link
    return str(Path(path).absolute()) if named != path and (is_elsewhere_on_disk or not leads_there) else named


@dataclass(frozen=True)
class Local:
    """How a key holds a path."""

    holds: str
    """'input': what must exist. 'database': what is made if it does not exist. 'folder': where files are written.
    'store': such a folder, or a URL. 'model': what must exist, or a name."""

    def __call__(self, value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> str:
        """The path of a value. Raises ValueError with the cure."""
        text: str = validate(value)
        if not text:
            raise ValueError('is "", but must not be empty')
        if is_elsewhere(text) and self.holds in ("database", "folder"):
            raise ValueError(f"is {text!r}, but must be a path on this machine")
        if is_elsewhere(text):
            return text
        base = info.context if isinstance(info.context, Base) else Base(Path.cwd())
        path = (Base(Path.cwd(), base.is_absolute) if isinstance(value, Typed) else base).resolve(text)
        if self.holds == "model" and not _is_path(text, path):
            _refuse_path_from_here(text, path, base)
            return text
        self._refuse_wrong_kind(path)
        if self.holds in ("input", "model", "database") and not isinstance(value, Typed):
            _refuse_path_from_here(text, path, base, is_new_allowed=self.holds == "database")
        return f"./{path}" if self.holds == "model" and not Path(path).is_absolute() else path

    def _refuse_wrong_kind(self, path: str) -> None:
        if self.holds in ("folder", "store") and Path(path).resolve() == Path(Path(path).resolve().anchor):
            raise ValueError(f'is "{path}", but must be a folder below it, such as out')
        if self.holds in ("folder", "store") and Path(path).is_file():
            raise ValueError(f"{_absolute(path)} is a file; give a folder")
        if self.holds == "database" and Path(path).is_dir():
            raise ValueError(f"{_absolute(path)} is a folder; give a file, such as {Path(path) / 'oresight.duckdb'}")


def _is_path(text: str, path: str) -> bool:
    """Whether what may be a name is a path."""
    if text in MODELS:
        return False
    return text.startswith((".", "/", "~")) or text.endswith((".gguf", "/")) or Path(path).exists()


def _refuse_path_from_here(text: str, path: str, base: Base, *, is_new_allowed: bool = False) -> None:
    """Raises ValueError if a relative path leads to nothing from the file, but to something from the current folder."""
    from_here = Path(text).expanduser()
    if from_here.is_absolute() or text in MODELS or _exists(path) or not _exists(str(from_here)):
        return
    beside = os.path.relpath(from_here, base.folder)
    new = f", or {str(_absolute(path))!r} for a new one" if is_new_allowed else ""
    raise ValueError(
        f"there is no {_absolute(path)}, and paths are relative to the configuration file; for"
        f" {from_here.absolute()} write {beside!r}{new}"
    )


def _exists(path: str) -> bool:
    return Path(path).exists() or bool(glob.glob(path, recursive=True))  # noqa: PTH207 Path.glob takes no absolute pattern


def _absolute(path: str) -> Path:
    return Path(path).absolute()


InputPath = Annotated[str, WrapValidator(Local("input"))]
DatabasePath = Annotated[str, WrapValidator(Local("database"))]
FolderPath = Annotated[str, WrapValidator(Local("folder"))]
StorePath = Annotated[str, WrapValidator(Local("store"))]
ModelName = Annotated[str, WrapValidator(Local("model"))]
