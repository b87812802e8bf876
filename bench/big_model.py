"""A model of several gigabytes, divided without ever being in memory: `python -m bench.big_model --gigabytes 6`.

Builds a chain of MatMuls with external data (seeded noise, no holes), compiles it by `row` in a process of its own
whose RssAnon + RssShmem is sampled, and holds every shard's checksum against a split by plain numpy, which is the peer
for speed. Exit status 1 if a checksum differs or the memory is over the limit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MEMORY_BYTES = 1 << 30
NARROW, WIDE = 4096, 16384  # each weight is 256 MiB
_WEIGHT_BYTES = 4 * NARROW * WIDE
_SAMPLE_S = 0.02
_ALIGNMENT = 64
_COMPILE = """
import json, sys
from pathlib import Path
from bundle.store import FolderStore
from partition import compile_to_store
manifest = compile_to_store(FolderStore(sys.argv[1]), Path(sys.argv[2]), "row", int(sys.argv[3]))
print(json.dumps([rank.shard for rank in manifest.ranks]))
"""


@dataclass(frozen=True)
class Measured:
    """What compiling took.

    cpu_s:      seconds of all cores together: the same however busy the machine is.
    peak_bytes: largest RssAnon + RssShmem that was seen; mapped pages of files are none of it.
    shards:     sha256 by rank.
    """

    seconds: float
    cpu_s: float
    peak_bytes: int
    shards: tuple[str, ...]


def build(folder: Path, weights: int) -> Path:
    """The model, its weights in weights.bin beside it."""
    import onnx
    from onnx import TensorProto, helper

    rng = np.random.default_rng(0)
    nodes, initializers = [], []
    with (folder / "weights.bin").open("wb") as file:
        for i in range(weights):
            shape = _shape(i)
            for _ in range(16):
                file.write(rng.random(shape[0] * shape[1] // 16, dtype=np.float32).data)
            tensor = TensorProto(
                name=f"w{i}", data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL
            )
            for key, value in (
                ("location", "weights.bin"),
                ("offset", i * _WEIGHT_BYTES),
                ("length", _WEIGHT_BYTES),
            ):
                tensor.external_data.add(key=key, value=str(value))
            initializers.append(tensor)
            nodes.append(helper.make_node("MatMul", [f"h{i}", f"w{i}"], [f"h{i + 1}"]))
    inputs = [helper.make_tensor_value_info("h0", TensorProto.FLOAT, ["n", NARROW])]
    outputs = [helper.make_tensor_value_info(f"h{weights}", TensorProto.FLOAT, ["n", _shape(weights - 1)[1]])]
    graph = helper.make_graph(nodes, "big", inputs, outputs, initializers)
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), folder / "model.onnx")
    return folder / "model.onnx"


def _shape(index: int) -> tuple[int, int]:
    return (WIDE, NARROW) if index % 2 else (NARROW, WIDE)


def compile_apart(model: Path, store: Path, workers: int) -> Measured:
    """Compile in a process of its own, and look at its memory meanwhile.

    Raises:
        RuntimeError: if it fails.
    """
    started, peak_bytes, before_s = time.perf_counter(), 0, _cpu_s(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", _COMPILE, str(store), str(model), str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak_bytes = max(peak_bytes, _own_bytes(process.pid))
            time.sleep(_SAMPLE_S)
        seconds, output = time.perf_counter() - started, process.communicate()[0]
    if process.returncode:
        raise RuntimeError(f"compiling ended with status {process.returncode}")
    cpu_s = _cpu_s(resource.RUSAGE_CHILDREN) - before_s
    return Measured(seconds, cpu_s, peak_bytes, tuple(json.loads(output)))


def _cpu_s(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def _own_bytes(pid: int) -> int:
    """RssAnon + RssShmem of a process, from the kernel (Linux)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def naive_shards(folder: Path, weights: int, workers: int) -> Iterator[str]:
    """sha256 of each rank's pieces, one after another from multiples of 64 bytes on, as numpy's slices give them."""
    data = np.memmap(folder / "weights.bin", np.float32, "r").reshape(weights, -1)
    for rank in range(workers):
        digest, size = hashlib.sha256(), 0
        for i in range(weights):
            digest.update(bytes(-size % _ALIGNMENT))
            piece = _piece(data[i].reshape(_shape(i)), rank, workers)
            digest.update(piece.data)
            size += -size % _ALIGNMENT + piece.nbytes
        yield digest.hexdigest()


def _piece(weight: NDArray[np.float32], rank: int, workers: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.array_split(weight, workers, axis=1)[rank])


def run(gigabytes: float, workers: int, folder: Path) -> bool:
    """Build, compile, check; print what was found. Whether all holds."""
    weights = max(2, math.ceil(gigabytes * 1e9 / _WEIGHT_BYTES))
    total_mb = weights * _WEIGHT_BYTES / 1e6
    model = build(folder, weights)
    found = compile_apart(model, folder / "store", workers)
    started, before_s = time.perf_counter(), _cpu_s(resource.RUSAGE_SELF)
    equal = list(naive_shards(folder, weights, workers)) == list(found.shards)
    naive_s, naive_cpu_s = time.perf_counter() - started, _cpu_s(resource.RUSAGE_SELF) - before_s
    print(f"{total_mb:.0f} MB in {weights} weights -> {workers} shards by row")
    print(f"compile: {_rates(total_mb, found.seconds, found.cpu_s)}: read, hashed, divided, hashed, stored")
    print(f"numpy:   {_rates(total_mb, naive_s, naive_cpu_s)}: read, divided, hashed; nothing is stored")
    print(f"RssAnon + RssShmem: at most {found.peak_bytes / 1e6:.0f} MB, allowed {MEMORY_BYTES / 1e6:.0f} MB")
    print(f"checksums of the shards: {'equal to those of the split by numpy' if equal else 'DIFFERENT'}")
    return equal and found.peak_bytes < MEMORY_BYTES


def _rates(mb: float, seconds: float, cpu_s: float) -> str:
    return f"{seconds:.1f} s, {mb / seconds:.0f} MB/s; {cpu_s:.1f} s of one core, {mb / cpu_s:.0f} MB/s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the words, run, clean up."""
    parser = argparse.ArgumentParser(prog="python -m bench.big_model", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=6.0)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="where to work; needs three times the model's bytes")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fsd-big-", dir=options.folder) as folder:
        return 0 if run(options.gigabytes, options.workers, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
