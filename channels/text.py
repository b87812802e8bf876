"""Frames as text that SQS takes: legal XML characters only. Base64 for now; a denser encoding replaces this file."""

from __future__ import annotations

import base64
import binascii


def to_text(data: bytes) -> str:
    """Return `data` as characters that XML and JSON carry unchanged."""
    return base64.b64encode(data).decode("ascii")


def from_text(text: str) -> bytes | None:
    """Return what to_text was given, or None if `text` did not come from it."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def capacity(characters: int) -> int:
    """Return the bytes that fit into a text of that many characters."""
    return characters // 4 * 3
