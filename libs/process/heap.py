"""Keeps the garbage collector off the event loop."""

import gc

_NEW_OBJECTS = 10_000
"""So many more containers than were freed before the collector looks at them. A batch is made of more than a hundred
thousand without any cycle; by Python's own 700 it is looked at some two hundred times, a quarter of a writer's time."""


def settle() -> None:
    """What a started process holds stays until its end: the collector need not look at it ever again.

    A full collection walks over everything that libraries have loaded, half a million objects, on whatever thread
    allocates next: the event loop stood still for 100 to 200 ms each time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
