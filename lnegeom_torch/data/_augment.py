"""The random things that training does to images, on whatever device they are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lnegeom import InputError


def crop_and_flip(images: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """Shift each image by up to `padding` pixels and mirror it or not, at random (He et al. 2016, §4.2).

    What comes in at the border is zero: the mean colour, once the images are normalised.

    Parameters
    ----------
    images : Tensor, shape (N, C, H, W)
        On any device; left as they are.
    generator : torch.Generator
        On the CPU, so that the choices are the same wherever the images are.
    padding : int
        Largest shift, 0 or more.

    Returns
    -------
    Tensor, shape (N, C, H, W)
        Same dtype and device.

    Raises
    ------
    InputError
        If the images are not of four axes or `padding` is negative.

    Examples
    --------
    >>> images = torch.arange(4.0).reshape(1, 1, 2, 2)
    >>> crop_and_flip(images, torch.Generator().manual_seed(0), padding=0)
    tensor([[[[1., 0.],
              [3., 2.]]]])
    """
    if images.ndim != 4 or padding < 0:
        raise InputError(
            f"expected images (N, C, H, W) and padding >= 0, got {tuple(images.shape)}, {padding}"
        )
    return apply_crops(images, draw_crops(len(images), generator, padding), padding)


def draw_crops(count: int, generator: torch.Generator, padding: int) -> Tensor:
    """The random choices for so many images, ``(3, count)``: shifts down and right, and whether mirrored."""
    shifts = torch.randint(2 * padding + 1, (2, count), generator=generator)
    mirrored = torch.randint(2, (1, count), generator=generator)
    return torch.cat([shifts, mirrored])


def apply_crops(images: Tensor, choices: Tensor, padding: int) -> Tensor:
    """What `draw_crops` chose, done to the images."""
    count, _, height, width = images.shape
    down, right, mirror = choices.to(images.device)
    # A view of every crop of the padded image, of which one is copied out: no index of the size of the batch.
    crops = F.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    chosen = crops[torch.arange(count, device=images.device), :, down, right]
    return torch.where(mirror.bool()[:, None, None, None], chosen.flip(3), chosen)
