"""A parcel as an object: in front, when its writer put it, so that who asked for it later knows by how much.

By the writer's own clock, which is nobody else's. The time is only a hint when to ask for the next one, and not signed.
"""

from __future__ import annotations

from collections.abc import Sequence

from channels.errors import FrameError
from channels.parcel import Part, pack_parcel, parcel_index
from channels.transport import Outgoing
from channels.varint import pack_uints, read_uints

_UNIT_S = 1e-6


def pack_stamped(frames: Sequence[Outgoing], put_s: float) -> bytes:
    """Return the bytes of an object with these frames. put_s: in seconds of the writer's clock."""
    return pack_uints([max(0, round(put_s / _UNIT_S))]) + pack_parcel(frames)


def stamped_index(data: bytes) -> tuple[float, list[Part]]:
    """Read when it was put, and the index, at the start of an object, of which the end may be missing.

    Raises:
        FrameError: if either is not whole.
    """
    try:
        (units,), at = read_uints(data, 0, 1)
    except ValueError as error:
        raise FrameError(f"parcel's time: {error}") from error
    return units * _UNIT_S, parcel_index(data, at)
