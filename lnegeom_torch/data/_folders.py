"""Images that stay files until a batch of them is wanted. Threads decode them; pillow is imported on use."""

from __future__ import annotations

import functools
import math
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnegeom import InputError
from lnegeom._array import positive_integer
from lnegeom_torch.data._imagenet import validation_classes
from lnegeom_torch.data._readers import DataNotFoundError

_ENDINGS = (".jpeg", ".jpg", ".png", ".bmp", ".webp")
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of every pretrained network
_AHEAD = 2  # batches decoded while one trains
_TRIES = 10
_Files = list[Future[np.ndarray[Any, Any]]]


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files that look like a tensor ``(N, 3, H, H)`` to whoever asks for its shape, length or a part.

    `lnegeom_torch.data.load` makes it of folders, and `training_batches` and `evaluation_batches` decode it:
    for training a part of random size, place and aspect ratio, scaled to H×H; otherwise the centre, of 7/8 of
    the shorter side, as is usual for ImageNet. Grey images get three equal channels.

    Parameters
    ----------
    paths : tuple of str
        Where the images are.
    size : int
        H.
    device : torch.device or str
        Where decoded batches go.
    """

    paths: tuple[str, ...]
    size: int
    device: torch.device | str = "cpu"

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices: Tensor | slice) -> ImageFiles:
        if isinstance(indices, slice):
            return replace(self, paths=self.paths[indices])
        return replace(self, paths=tuple(self.paths[index] for index in indices.tolist()))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(N, 3, H, H)``."""
        return (len(self), 3, self.size, self.size)

    def to(self, device: torch.device | str) -> ImageFiles:
        """The same files, whose batches go to a device."""
        return replace(self, device=device)


def read_folders(
    root: Path | None, size: int
) -> tuple[tuple[ImageFiles, Tensor], tuple[ImageFiles, Tensor], int]:
    """Training and test files with their labels, and the number of classes."""
    positive_integer("image_size", size)
    wanted = "train/CLASS/*.JPEG and val/CLASS/*.JPEG"
    if root is None or not (root / "train").is_dir() or not (root / "val").is_dir():
        where = f"in {root}" if root else "but no root was given"
        raise DataNotFoundError(
            f"folders: looked for {wanted} {where}; name their folder with --root (root=)"
        )
    classes = sorted(entry.name for entry in os.scandir(root / "train") if entry.is_dir())
    folders = {entry.name for entry in os.scandir(root / "val") if entry.is_dir()}
    _refuse_strangers(root, folders - set(classes))
    train = _split(root / "train", classes, size)
    flat = [] if folders else _images(root / "val")
    test = _flat(root, flat, classes, size) if flat else _split(root / "val", classes, size)
    return train, test, len(classes)


def _refuse_strangers(root: Path, strangers: set[str]) -> None:
    if strangers:
        raise InputError(f"{root / 'val'} has the class {min(strangers)!r}, which {root / 'train'} has not")


def _images(folder: Path) -> list[str]:
    return sorted(entry.path for entry in os.scandir(folder) if entry.name.lower().endswith(_ENDINGS))


def _flat(root: Path, paths: list[str], classes: list[str], size: int) -> tuple[ImageFiles, Tensor]:
    """ImageNet's validation images as the official archive has them, all in one folder."""
    place = {name: label for label, name in enumerate(classes)}
    found = validation_classes(root, [Path(path).name for path in paths])
    _refuse_strangers(root, set(found) - set(classes))
    return ImageFiles(tuple(paths), size), torch.tensor([place[name] for name in found])


def _split(folder: Path, classes: list[str], size: int) -> tuple[ImageFiles, Tensor]:
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        if (folder / name).is_dir():
            found = _images(folder / name)
            paths += found
            labels += [label] * len(found)
    if not paths:
        raise DataNotFoundError(
            f"folders: looked for CLASS/*.JPEG in {folder}, and found no image in a folder for each class; "
            "sort the images into such folders"
        )
    return ImageFiles(tuple(paths), size), torch.tensor(labels)


def decoded(
    batches: Iterator[tuple[ImageFiles, Tensor]],
    generator: torch.Generator | None,
    share: slice = slice(None),
) -> Iterator[tuple[Tensor, Tensor]]:
    """A share of batches of files as tensors, some decoded ahead; random parts of images if a generator."""
    waiting: deque[tuple[_Files, Tensor, torch.device | str]] = deque()
    for whole, all_labels in batches:
        files, labels = whole[share], all_labels[share]
        # Drawn here, in the order of the batches: the same numbers however many threads or processes.
        chance = (
            None if generator is None else torch.rand(len(whole), 2 * _TRIES + 2, generator=generator)[share]
        )
        rows = [None] * len(files) if chance is None else chance.tolist()
        futures = [
            _pool().submit(_decode, path, files.size, row)
            for path, row in zip(files.paths, rows, strict=True)
        ]
        waiting.append((futures, labels, files.device))
        if len(waiting) > _AHEAD:
            yield _collect(*waiting.popleft())
    while waiting:
        yield _collect(*waiting.popleft())


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="lnegeom-decode")


def _collect(futures: _Files, labels: Tensor, device: torch.device | str) -> tuple[Tensor, Tensor]:
    pixels = torch.from_numpy(np.stack([future.result() for future in futures]))
    images = pixels.to(device).permute(0, 3, 1, 2).float()  # bytes travel, floats do not
    mean, deviation = (torch.tensor(c, device=device)[:, None, None] for c in (_MEAN, _DEVIATION))
    return images.div_(255).sub_(mean).div_(deviation).contiguous(), labels


def _decode(path: str, size: int, chance: list[float] | None) -> np.ndarray[Any, Any]:
    """One image's chosen part as bytes ``(size, size, 3)``."""
    try:
        from PIL import Image
    except ImportError:
        raise DataNotFoundError("folders: pillow reads the images; get it with: pip install pillow") from None
    try:
        with Image.open(path) as image:
            width, height = image.size
            box = _centre(width, height) if chance is None else _random_part(width, height, chance)
            # A JPEG decodes to a half, a quarter or an eighth at once, where what is left is not too small.
            wide, high = box[2] - box[0], box[3] - box[1]
            image.draft("RGB", (math.ceil(width * size / wide), math.ceil(height * size / high)))
            across, down = image.size[0] / width, image.size[1] / height
            box = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
            bilinear = Image.Resampling.BILINEAR
            return np.asarray(image.convert("RGB").resize((size, size), bilinear, box=box))
    except (OSError, SyntaxError, ValueError) as error:  # what pillow raises for a damaged file
        raise InputError(f"{path} is not a readable image ({error}); get the file again") from error


_Box = tuple[float, float, float, float]


def _centre(width: int, height: int) -> _Box:
    side = min(width, height) * 7 / 8  # 224 of 256
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _random_part(width: int, height: int, chance: list[float]) -> _Box:
    """A part of 8 to 100 % of the area and of ratio 3:4 to 4:3 (Szegedy et al. 2015), or the centre."""
    for attempt in range(_TRIES):
        area = width * height * (0.08 + 0.92 * chance[attempt])
        ratio = math.exp(math.log(4 / 3) * (2 * chance[_TRIES + attempt] - 1))
        wide, high = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if wide <= width and high <= height:
            left, top = (width - wide) * chance[-2], (height - high) * chance[-1]
            return left, top, left + wide, top + high
    return _centre(width, height)
