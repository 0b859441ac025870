"""A picture file -> what it is, a thumbnail, and the pixels that a model gets. The only reader of pictures.

What is read is decided from the first bytes, never from the name, and the size is known before anything is decoded. A
picture is turned as its camera says, put on white where it is transparent, and given as 8-bit RGB.
"""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps, ImageStat

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Readers that decode by themselves; Pillow's others can start programs or have no business in a dataset."""
MAX_PIXELS = 100_000_000
MAX_BYTES = 256 << 20
THUMBNAIL = 256
"""Longest side of a thumbnail, pixels."""
SUFFIXES = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif"}
WIDE = ("I;16", "I;16B", "I;16L", "I;16N", "I")
"""Modes with 16 bits a pixel, which Pillow would clip to 255."""

ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.init()  # here, because two threads that do it at once break each other


class Unreadable(ValueError):
    """These bytes are no picture that is read; the message says why, without the file's name."""


class Seen(NamedTuple):
    """What a picture is. Width and height are those after turning it upright."""

    sha256: str
    width: int
    height: int
    mode: str
    """Pillow's: RGB, L, P, CMYK, I;16 ..."""
    format: str
    size: int
    """Bytes of the file."""
    spread: float
    """Standard deviation of the colour channel that varies most, 0 to 127.5; near 0 the picture shows nothing."""
    thumbnail: bytes
    """JPEG, at most THUMBNAIL pixels a side."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that a row holds, by file and content. `blank`: a grey one of the same size stands for it."""

    path: str
    sha256: str
    width: int
    height: int
    blank: bool = False

    @property
    def key(self) -> str:
        """Equal keys, equal pixels."""
        return f"blank {self.width}x{self.height}" if self.blank else self.sha256


def look(data: bytes) -> Seen:
    """Decode once, at thumbnail size where the format allows it. Raises Unreadable."""
    with _opened(data) as picture:
        kind, mode = str(picture.format), picture.mode
        width, height = picture.size
        small = _upright(picture, THUMBNAIL)
        if picture.getexif().get(0x0112, 1) in (5, 6, 7, 8):  # turned by its camera
            width, height = height, width
    spread = max(ImageStat.Stat(small).stddev)
    packed = io.BytesIO()
    small.save(packed, "JPEG", quality=80)
    return Seen(
        hashlib.sha256(data).hexdigest(), width, height, mode, kind, len(data), spread, packed.getvalue()
    )  # fmt: skip


def pixels(picture: Picture) -> Image.Image:
    """The picture in 8-bit RGB, upright. Raises Unreadable if the file is gone or is not what was ingested."""
    if picture.blank:
        return Image.new("RGB", (picture.width, picture.height), (127, 127, 127))
    with _opened(content(picture)) as opened:
        return _upright(opened)


def content(picture: Picture) -> bytes:
    """The bytes of the file. Raises Unreadable if it is gone or is not what was ingested."""
    try:
        data = Path(picture.path).read_bytes()
    except OSError as error:
        raise Unreadable(f"the picture {picture.path} cannot be read ({error.strerror}); run ingest again") from error
    if hashlib.sha256(data).hexdigest() != picture.sha256:
        raise Unreadable(f"the picture {picture.path} has changed since it was ingested; run ingest again")
    return data


def is_picture(data: bytes) -> bool:
    """Whether bytes begin as a picture does."""
    begins = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
    return data.startswith(begins) or (data.startswith(b"RIFF") and data[8:12] == b"WEBP")


def _opened(data: bytes) -> Image.Image:
    if not data:
        raise Unreadable("is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own limit: ours comes next
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise Unreadable(f"has too many pixels; at most {MAX_PIXELS:,} are decoded") from error
    except Exception as error:  # Pillow's readers fail in as many ways as a file can be broken
        raise Unreadable(f"is no picture that is read ({', '.join(FORMATS)})") from error
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise Unreadable(f"has {width} x {height} pixels; at most {MAX_PIXELS:,} are decoded")
    try:
        frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
    except Exception as error:  # counting them reads the file to its end
        raise Unreadable("cannot be decoded: it is damaged or cut off") from error
    if frames > 1:
        raise Unreadable(f"is animated or has pages ({frames} frames); keep one frame as a picture of its own")
    return picture


def _upright(picture: Image.Image, side: int | None = None) -> Image.Image:
    """8-bit RGB, turned as the camera says, at most `side` pixels a side."""
    try:
        if side is not None and picture.mode not in (*WIDE, "P"):
            picture.thumbnail((side, side))
        picture.load()
        turned = ImageOps.exif_transpose(picture)
        if turned.mode in WIDE:
            wide: Any = np.asarray(turned).astype(np.int64)
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
