"""A card that cannot be imported, as plugins sometimes are after an upgrade."""

from __future__ import annotations

raise ImportError("fsd_zoo_parity.broken needs something that is not installed")
