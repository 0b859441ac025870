"""Reads picture files: facts about a picture, its thumbnail, and the pixels for a model. All picture reading is here.

The format is decided from the first bytes, never from the name, and the size is checked before anything is decoded. A
picture is turned upright by its EXIF orientation, put on white where it is transparent, and converted to 8-bit RGB.
"""

import errno
import hashlib
import io
import os
import stat
import threading
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps, ImageStat

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Pillow's readers that decode in this process. Its other readers can start programs or have no use in a dataset."""
MAX_PIXELS = 100_000_000
MAX_BYTES = 256 << 20
LARGE_PIXELS = 4_000_000
ONE_LARGE = threading.RLock()
"""Held while a picture of more pixels or many bytes is read for its facts, so that threads do not add them up."""
THUMBNAIL = 256
"""Longest side of a thumbnail, in pixels."""
SUFFIXES = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif"}
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")
"""Modes with 16 bits per pixel, which Pillow would clip to 255."""

ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.init()  # at import, because two threads that call it at the same time break each other


class Unreadable(ValueError):
    """These bytes cannot be read as a picture. The message says why, without the file's name."""


class PictureFacts(NamedTuple):
    """Facts about a picture's file and content. Width and height are in pixels, after turning the picture upright."""

    sha256: str
    width: int
    height: int
    mode: str
    """Pillow's mode: RGB, L, P, CMYK, I;16 ..."""
    format: str
    size: int
    """Bytes of the file."""
    spread: float
    """Standard deviation of the colour channel that varies most, 0 to 127.5. Near 0 the picture is blank."""
    thumbnail: bytes
    """JPEG, at most THUMBNAIL pixels on each side."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a row, by file and content. With `blank`, a grey picture of the same size replaces it."""

    path: str
    sha256: str
    width: int
    height: int
    blank: bool = False

    @property
    def key(self) -> str:
        """Pictures with equal keys have equal pixels."""
        return f"blank {self.width}x{self.height}" if self.blank else self.sha256


def inspect_picture(data: bytes) -> PictureFacts:
    """Decode a picture once, at thumbnail size where the format allows it. Raises Unreadable."""
    with _open(data) as picture:
        file_format, mode = str(picture.format), picture.mode
        width, height = picture.size
        with ONE_LARGE if width * height > LARGE_PIXELS else nullcontext():
            small = _upright(picture, THUMBNAIL)
        if picture.getexif().get(0x0112, 1) in (5, 6, 7, 8):  # EXIF orientations that swap width and height
            width, height = height, width
    thumbnail = io.BytesIO()
    small.save(thumbnail, "JPEG", quality=80)
    return PictureFacts(
        sha256=hashlib.sha256(data).hexdigest(),
        width=width,
        height=height,
        mode=mode,
        format=file_format,
        size=len(data),
        spread=max(ImageStat.Stat(small).stddev),
        thumbnail=thumbnail.getvalue(),
    )


def smaller(thumbnail: bytes, side: int) -> bytes:
    """A thumbnail as a JPEG of at most `side` pixels on each side, or as it is if that takes no more bytes."""
    with Image.open(io.BytesIO(thumbnail)) as picture:
        picture.thumbnail((side, side))
        small = io.BytesIO()
        picture.save(small, "JPEG", quality=70, optimize=True)
    return min(small.getvalue(), thumbnail, key=len)


def pixels(picture: Picture) -> Image.Image:
    """The picture in 8-bit RGB, upright. Raises Unreadable if the file is missing or has changed since ingest."""
    if picture.blank:
        return Image.new("RGB", (picture.width, picture.height), (127, 127, 127))
    with _open(content(picture)) as image:
        return _upright(image)


def content(picture: Picture) -> bytes:
    """The bytes of the file. Raises Unreadable if the file is missing or has changed since ingest."""
    return read_ingested(picture.path, picture.sha256)


def read_ingested(path: str, sha256: str) -> bytes:
    """The bytes of a file that was ingested with this digest. Raises Unreadable if it is missing or has changed since.

    A link or a pipe that took the file's place is not opened: ingest has stored the path with all links followed.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            is_file = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
            data = stream.read(MAX_BYTES + 1) if is_file else b""
    except OSError as error:
        reason = "is a link now" if error.errno == errno.ELOOP else f"cannot be read ({error.strerror})"
        raise Unreadable(f"the picture {path} {reason}; run ingest again") from error
    if not is_file or hashlib.sha256(data).hexdigest() != sha256:
        raise Unreadable(f"the picture {path} has changed since it was ingested; run ingest again")
    return data


def is_picture(data: bytes) -> bool:
    """Whether bytes begin with the signature of a picture format."""
    signatures = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
    return data.startswith(signatures) or (data.startswith(b"RIFF") and data[8:12] == b"WEBP")


def _open(data: bytes) -> Image.Image:
    """The picture, not decoded yet. Raises Unreadable."""
    if not data:
        raise Unreadable("is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of its own pixel limit; ours is checked below
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise Unreadable(f"has too many pixels; at most {MAX_PIXELS:,} are decoded") from error
    except Exception as error:  # Pillow's readers raise many kinds of errors for a broken file
        raise Unreadable(f"is not a picture in a supported format ({', '.join(FORMATS)})") from error
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise Unreadable(f"has {width} x {height} pixels; at most {MAX_PIXELS:,} are decoded")
    try:
        frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
    except Exception as error:  # counting the frames reads the file to its end
        raise Unreadable("cannot be decoded: it is damaged or cut off") from error
    if frames > 1:
        raise Unreadable(f"is animated or has pages ({frames} frames); save one frame as a picture of its own")
    return picture


def _upright(picture: Image.Image, side: int | None = None) -> Image.Image:
    """The picture in 8-bit RGB, turned by its EXIF orientation, at most `side` pixels on each side."""
    try:
        if side is not None and picture.mode not in (*SIXTEEN_BIT, "P"):
            picture.thumbnail((side, side))
        picture.load()
        turned = ImageOps.exif_transpose(picture)
        if side is not None and turned.mode == "P" and turned.width * turned.height > LARGE_PIXELS:
            turned = turned.convert("RGBA" if turned.has_transparency_data else "RGB")
            turned.thumbnail((4 * side, 4 * side))  # before copies of it are made
        if turned.mode in SIXTEEN_BIT:
            wide: Any = np.asarray(turned)
            eight = wide if turned.mode == "I" and wide.max(initial=0) < 256 else wide >> 8
            turned = Image.fromarray(eight.clip(0, 255).astype(np.uint8))
        if turned.has_transparency_data:
            turned = turned.convert("RGBA")
            white = Image.new("RGBA", turned.size, (255, 255, 255, 255))
            turned = Image.alpha_composite(white, turned)
        rgb = turned.convert("RGB")
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise Unreadable(f"cannot be decoded: {reason}") from error
    if side is not None:
        rgb.thumbnail((side, side))
    return rgb
