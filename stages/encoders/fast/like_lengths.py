"""Texts of like lengths brought together, so that little of what is computed is padding."""

from collections.abc import Sequence


def split(lengths: Sequence[int], saving: int) -> list[tuple[list[int], int]]:
    """Rows, longest first, and largest length of groups: each split is the best of its group and saves at least ``saving`` tokens."""
    rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])

    def cut(group: list[int]) -> list[list[int]]:
        longest = lengths[group[0]]
        saved, place = max(((longest - lengths[group[at]]) * (len(group) - at), at) for at in range(len(group)))
        return [*cut(group[:place]), *cut(group[place:])] if saved >= max(1, saving) else [group]

    return [(group, max(1, lengths[group[0]])) for group in cut(rows)]
