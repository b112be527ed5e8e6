"""Independent runs, one after another or several at once, each in a process of its own."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from tqdm.auto import tqdm

from lnegeom import InputError
from lnegeom._array import positive_integer
from lnegeom_torch import data, distributed
from lnegeom_torch.train import TrainConfig, load_dataset

__all__ = ["dataset_of", "forget_datasets", "in_processes", "set_up"]

_T = TypeVar("_T")


def set_up(jobs: int, threads: int | None = None) -> None:
    """Check the number of processes; give each its part of this one's threads, or so many as are given."""
    if positive_integer("jobs", jobs) > 1 and distributed.launched():
        raise InputError(
            "torchrun makes the processes share every batch, and --jobs runs; use one of the two"
        )
    if threads is not None:
        torch.set_num_threads(positive_integer("threads", threads))
    elif jobs > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // jobs))


def in_processes(function: Callable[..., _T], calls: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[_T]:
    """The function of each tuple of arguments, in their order, as they come.

    Parameters
    ----------
    function : callable
        Of a module, so that other processes can import it; arguments and results are pickled.
    calls : sequence of tuple
        Arguments.
    jobs : int
        Processes; 1 is this one.

    Examples
    --------
    >>> list(in_processes(pow, [(2, 3), (3, 2)], jobs=1))
    [8, 9]
    """
    if jobs == 1:
        return (function(*arguments) for arguments in calls)
    from joblib import Parallel, delayed

    threads = torch.get_num_threads()
    work = (delayed(_call)(threads, function, arguments) for arguments in calls)
    found: Iterator[_T] = Parallel(n_jobs=min(jobs, len(calls)), return_as="generator", batch_size=1)(work)
    return found


def dataset_of(config: TrainConfig) -> data.Dataset:
    """The data set of a configuration; a process's later runs have it without reading it again."""
    return _dataset(config.data, config.root, config.image_size, config.validation)


@functools.lru_cache(maxsize=2)
def _dataset(name: str, root: str | None, image_size: int | None, validation: float) -> data.Dataset:
    return load_dataset(TrainConfig(data=name, root=root, image_size=image_size, validation=validation))


forget_datasets = _dataset.cache_clear
"""Give the memory of `dataset_of` back."""


def _call(threads: int, function: Callable[..., _T], arguments: tuple[Any, ...]) -> _T:
    torch.set_num_threads(threads)
    # tqdm's own lock is a semaphore of the system's, of which Python complains when a worker is interrupted.
    tqdm.set_lock(threading.RLock())
    return function(*arguments)
