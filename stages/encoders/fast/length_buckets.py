"""Length buckets: texts of similar length together, so that little of what is computed is padding."""

from collections.abc import Sequence


def split(lengths: Sequence[int], saving: int) -> list[tuple[list[int], int]]:
    """Rows, longest first, and largest length of buckets: each split is the best of its bucket and saves at least ``saving`` tokens."""
    rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])

    def cut(bucket: list[int]) -> list[list[int]]:
        longest = lengths[bucket[0]]
        saved, place = max(((longest - lengths[bucket[at]]) * (len(bucket) - at), at) for at in range(len(bucket)))
        return [*cut(bucket[:place]), *cut(bucket[place:])] if saved >= max(1, saving) else [bucket]

    return [(bucket, max(1, lengths[bucket[0]])) for bucket in cut(rows)]
