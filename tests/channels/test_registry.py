"""Opening channels by name, and refusing identities that cannot be."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from channels.config import ChannelConfig
from channels.errors import ConfigError
from channels.memory import MemoryChannel, MemoryHub
from channels.registry import channel_class, channel_names, open_channel

GOOD = ChannelConfig("ab" * 16, 0, 0, 0, 1, b"0123456789abcdef", deadline=0.0)


def test_every_known_channel_can_be_imported_and_states_latency_and_price() -> None:
    for name in channel_names():
        module = sys.modules[channel_class(name).__module__]
        assert "Latency:" in str(module.__doc__)
        assert "Price:" in str(module.__doc__)


def test_an_unknown_channel_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="expected one of folder, hybrid, memory, object, queue, got 'pigeon'"):
        channel_class("pigeon")


def test_a_channel_opens_by_name() -> None:
    assert isinstance(open_channel("memory", GOOD, MemoryHub(1)), MemoryChannel)


def test_the_memory_channel_needs_no_aws_sdk() -> None:
    code = "import sys, channels.registry, channels.memory; sys.exit(any('boto' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run_id", "AB" * 16),
        ("run_id", "ab"),
        ("slot", 1),
        ("slot", -1),
        ("slots", 1 << 17),
        ("attempt", -1),
        ("epoch", 1 << 64),
        ("mac_key", b"short"),
    ],
)
def test_an_identity_that_cannot_be_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{field.removesuffix('s')}.*expected"):
        replace(GOOD, **{field: value})  # type: ignore[arg-type]


def test_the_key_is_not_shown() -> None:
    assert "0123456789abcdef" not in repr(GOOD)
