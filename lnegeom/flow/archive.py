"""npz archives that are written in one go and whose large arrays stay on disk when read."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lnegeom._array import InputError

LOCAL_HEADER = 30  # bytes of a zip member's header before its name and extra field


def write_archive(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an uncompressed npz to exactly this path, whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:  # np.savez would append .npz to a bare name
            np.savez(file, **arrays)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_archive(path: Path, what: str, lazy: Sequence[str] = ()) -> dict[str, Any]:
    """Read an npz that `write_archive` wrote, the arrays named `lazy` as read-only memory maps.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If it is not a whole archive with an entry "header".
    """
    if path.exists() and not zipfile.is_zipfile(path):  # numpy would advise to unpickle it
        raise InputError(f"{path} is not a saved {what}, nor any npz archive; write one with save()")
    try:
        # Opened here, since np.load leaves the file open when an archive is damaged.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            names = [name for name in archive.files if name not in lazy]
            arrays = {"header": archive["header"], **{name: archive[name] for name in names}}
            for name in lazy:
                arrays[name] = _map(path, file, archive.zip.getinfo(f"{name}.npy"))
    except (ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a saved {what} ({error}); write one with save()") from None
    return arrays


def _map(path: Path, file: Any, member: zipfile.ZipInfo) -> Any:
    """Memory map of a stored (not compressed) member, whose bytes lie in the archive as they are."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed")
    file.seek(member.header_offset + LOCAL_HEADER - 4)
    sizes = np.frombuffer(file.read(4), dtype="<u2")  # of the name and the extra field that follow
    file.seek(int(sizes.sum()), os.SEEK_CUR)
    version = np.lib.format.read_magic(file)
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read_header(file)
    return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")
