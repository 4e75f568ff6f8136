"""Pictures as Pillow has them: in a folder for each class, or in a data set of another library.

Both are read by `pixels_of`. The numbers of a picture are those of its file, or a note says what was done to them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_collapse import _extras, _memory
from kernel_collapse._input_error import InputError
from kernel_collapse.data._image_files import Read, broken

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["is_picture", "pixels_of", "read_folder"]

#: Endings of the pictures that a folder is looked through for.
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
#: Names of the parts of a data set, which are no classes.
PARTS = frozenset(
    ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation")
)

#: Modes whose numbers are read as they are; those of 16 bits in grey begin with "I;16".
_KEPT = ("L", "LA", "RGB", "RGBA", "I", "F")
#: Modes that hold the same in another way, and those in which it is read.
_SAME = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"}
#: Modes of other colours, which Pillow converts.
_COLOURS = ("CMYK", "YCbCr", "HSV")
#: What a picture has one colour of that means transparent is read in.
_WITH_ALPHA = {"1": "LA", "L": "LA", "P": "RGBA", "RGB": "RGBA"}
#: Formats in which Pillow reads grey of 16 bits into 32.
_SIXTEEN = ("PNG", "PPM")
_ORIENTATION = 0x0112


def is_picture(value: Any) -> bool:
    """Tell whether an object is a picture of Pillow, without importing it."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def pixels_of(picture: Image.Image, what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the numbers of a picture, of shape (height, width, channels), and notes on what was done to them.

    Raises
    ------
    ValueError
        If its mode has no meaning as grey or colours.
    """
    mode, notes = picture.mode, []
    sixteen = mode == "I" and picture.format in _SIXTEEN
    if getattr(picture, "n_frames", 1) > 1:
        notes.append(f"Of pictures with several frames frame {picture.tell()} (counted from 0) is taken.")
    if mode in ("LA", "RGB", "RGBA") and _is_cut(picture):
        notes.append("Pictures in colours of 16 bits are read in 8 bits, which is all that Pillow gives.")
    picture, turned = _upright(picture)
    if turned:
        notes.append("Pictures were turned upright, as their EXIF orientation says.")
    target = _SAME.get(mode, mode)
    if mode in _COLOURS:
        target = "RGB"
        notes.append(f"Pictures in {mode} were converted to RGB.")
    elif "transparency" in picture.info:
        target = _WITH_ALPHA.get(mode, target)
    if target not in _KEPT and not target.startswith("I;16"):
        raise InputError(what, f"in the mode {mode!r} of Pillow", "grey or colours", "save it in RGB")
    pixels = np.atleast_3d(np.asarray(picture if target == mode else picture.convert(target)))
    return pixels.astype(np.uint16) if sixteen else pixels, tuple(notes)


def _is_cut(picture: Image.Image) -> bool:
    """Tell whether a file has 16 bits a channel, of which Pillow reads 8 where there are colours."""
    for tile in getattr(picture, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(isinstance(told, str) and ";16" in told for told in arguments):
            return True
        if tile[0].startswith("ppm") and any(isinstance(told, int) and told > 255 for told in arguments):
            return True
    return False


def _upright(picture: Image.Image) -> tuple[Image.Image, bool]:
    """Return the picture as it is seen, and whether it had to be turned."""
    from PIL import ImageOps

    try:
        turned = picture.getexif().get(_ORIENTATION, 1) in range(2, 9)
    except (
        Exception
    ):  # whatever Pillow raises of a block of EXIF that is broken, which is no part of the pixels
        return picture, False
    return (ImageOps.exif_transpose(picture), True) if turned else (picture, False)


def read_folder(folder: Path) -> Read:
    """Return the pictures of a folder that has a folder for each class."""
    _extras.require("cli", "pictures", "PIL")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    files = [
        (path, file)
        for path in classes
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() in PICTURES and file.is_file()
    ]
    if not files:
        raise InputError(
            f"the folder {str(folder)!r}",
            "no picture in a folder of its own class",
            "folders that are named as the classes, with pictures in them",
            f"their endings are {', '.join(PICTURES)}",
            verb="has",
        )
    notes = dict.fromkeys(_inside(folder, files))
    pictures: list[np.ndarray] = []
    for _, file in files:
        picture, said = _picture(file)
        if not pictures:
            each = (8.0 + picture.itemsize) * picture.size
            _memory.require(each * len(files), f"{len(files)} pictures", "take a part of them")
        elif (picture.shape, picture.dtype) != (pictures[0].shape, pictures[0].dtype):
            raise InputError(
                "the pictures",
                f"{_sized(pictures[0])} ({files[0][1].name}) and {_sized(picture)} ({file.name})",
                "pictures of one size, one number of channels and one type",
                "crop, scale or convert them first",
            )
        pictures.append(picture)
        notes |= dict.fromkeys(said)
    return Read(np.stack(pictures), [path.name for path, _ in files], tuple(notes))


def _inside(folder: Path, files: list[tuple[Path, Path]]) -> tuple[str, ...]:
    """Refuse a folder of parts, as "train" and "test", and return a note on folders within those of the classes."""
    names = list(dict.fromkeys(path.name for path, _ in files))
    if all(name.casefold() in PARTS for name in names):
        raise InputError(
            f"the folder {str(folder)!r}",
            f"the folders {', '.join(map(repr, names))}, which are parts of a data set and no classes",
            "folders that are named as the classes, with pictures in them",
            f"give one of them, as {str(folder / names[0])!r}",
            verb="has",
        )
    deeper = [(path, file) for path, file in files if file.parent != path]
    if not deeper:
        return ()
    path, file = deeper[0]
    return (
        f"Pictures in folders within that of a class are of that class: {str(file.relative_to(folder))!r} is of "
        f"{path.name!r}.",
    )


def _picture(file: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the numbers of a picture in a file, and notes on what was done to them."""
    from PIL import Image

    try:
        with Image.open(file) as picture:
            return pixels_of(picture, file.name)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # whatever Pillow raises of a file that is broken: it has many kinds
        raise broken(file, str(error) or type(error).__name__) from None


def _sized(picture: np.ndarray) -> str:
    return f"{' x '.join(map(str, picture.shape))} in {picture.dtype}"
