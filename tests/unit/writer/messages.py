"""What people read about rows whose values are taken."""


def exists(held: str) -> str:
    """A record of the target holds the values."""
    return f"A record with {held} exists already, and no two may hold it. Change this row or remove it."


def held_by(row: int, held: str) -> str:
    """An earlier row holds them."""
    return f"Row {row} already holds {held}, and no two records may. Change or remove one of the two rows."
