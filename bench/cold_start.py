"""CPU time that a cold start spends on imports and its first client, with the package's bytecode and without: paired.

`python -m bench.cold_start` after any `sls package` or `sls deploy` for the embedded cloud: it takes the runtime layer
from the build cache, and this checkout's code. Each start is a process of its own that sees nothing else and, as on
Lambda, cannot write bytecode.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

from client.cloud import ROOT

PACKAGES = ("bundle", "channels", "costs", "engine", "handlers", "runs")
_START = """
import sys, time
sys.path[:0] = sys.argv[1:]
import handlers.worker
from costs.meter import Meter
from runs.aws import LazyClients
LazyClients(Meter()).s3
print(time.process_time())
"""
_ACCOUNT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


def newest_layer() -> Path:
    """The runtime layer that was built last.

    Raises:
        FileNotFoundError: there is none.
    """
    found = sorted((ROOT / ".fsd" / "build").glob("local-*/*.zip"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError("no runtime layer in .fsd/build: run `sls package` for the embedded cloud first")
    return found[-1]


def lay_out(folder: Path, *, bytecode: bool) -> list[str]:
    """Unpack layer and code as a function sees them; the folders for its path."""
    with ZipFile(newest_layer()) as archive:
        archive.extractall(folder / "layer")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / "code" / name, ignore=shutil.ignore_patterns("__pycache__"))
    if bytecode:
        options = ["-q", "--invalidation-mode", "unchecked-hash"]
        subprocess.run([sys.executable, "-m", "compileall", *options, str(folder / "code")], check=True)
    else:
        for cache in list(folder.rglob("__pycache__")):
            shutil.rmtree(cache)
    return [str(folder / "code"), str(folder / "layer" / "python")]


def start_s(path: list[str]) -> float:
    """CPU seconds of one start."""
    words = [sys.executable, "-I", "-S", "-B", "-c", _START, *path]
    return float(subprocess.run(words, env=_ACCOUNT, capture_output=True, check=True, timeout=120).stdout)


def main() -> None:
    """Alternate between both, so that what else runs here meets both alike."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=10, help="of each kind")
    starts = parser.parse_args().starts
    with tempfile.TemporaryDirectory(prefix="fsd-") as name:
        paths = {kind: lay_out(Path(name) / kind, bytecode=kind == "with") for kind in ("with", "without")}
        taken = [{kind: start_s(path) for kind, path in paths.items()} for _ in range(starts)]
    ratio = statistics.median(pair["without"] / pair["with"] for pair in taken)
    for kind in paths:
        print(f"{kind} bytecode: {statistics.median(pair[kind] for pair in taken):.3f} CPU s")
    print(f"without / with, median of {starts} pairs: {ratio:.2f}")


if __name__ == "__main__":
    main()
