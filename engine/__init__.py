"""The machine that runs one rank's program. Knows no AWS and no onnx."""

from __future__ import annotations

from engine.cache import ShardCache
from engine.errors import EngineError, ExchangeError, FeedError, KernelError, ProgramError
from engine.loaded import LoadedRank
from engine.loading import load_rank, needed_assets, rank_assets
from engine.machine import Machine, MachineState, TensorChannel
from engine.session_settings import SessionSettings
from engine.trace import Record

__all__ = [
    "EngineError",
    "ExchangeError",
    "FeedError",
    "KernelError",
    "LoadedRank",
    "Machine",
    "MachineState",
    "ProgramError",
    "Record",
    "SessionSettings",
    "ShardCache",
    "TensorChannel",
    "load_rank",
    "needed_assets",
    "rank_assets",
]
