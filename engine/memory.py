"""How much memory this process takes, from the kernel's own account (Linux)."""

from __future__ import annotations

from pathlib import Path


def peak_rss_bytes() -> int:
    """Largest resident set of this process so far, in bytes (VmHWM); 0 where the system does not say."""
    return _status_bytes("VmHWM")


def rss_bytes() -> int:
    """Resident set of this process now, in bytes (VmRSS); 0 where the system does not say."""
    return _status_bytes("VmRSS")


def _status_bytes(field: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    found = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return 1024 * int(next(found, "0"))  # the file counts in kB
