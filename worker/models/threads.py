"""Compiled loops on several threads: they release the GIL, so plain Python threads serve."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch


def spread(loops: Callable[..., None], count: int, *arrays: Any, fewest: int) -> None:
    """Call `loops(*arrays, first, last)` for parts of 0 to count, one on each of torch's threads.

    fewest: as many as are worth a thread.
    """
    threads = max(1, min(torch.get_num_threads(), count // fewest))
    bounds = [count * share // threads for share in range(threads + 1)]
    parts = [_pool(threads - 1).submit(loops, *arrays, bounds[i], bounds[i + 1]) for i in range(1, threads)]
    loops(*arrays, bounds[0], bounds[1])
    for part in parts:
        part.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="loops")
