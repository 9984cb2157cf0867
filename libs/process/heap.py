"""Keeps the garbage collector off the event loop."""

import gc


def settle() -> None:
    """What a started process holds stays until its end: the collector need not look at it ever again.

    A full collection walks over everything that libraries have loaded, half a million objects, on whatever thread
    allocates next: the event loop stood still for 100 to 200 ms each time.
    """
    gc.collect()
    gc.freeze()
