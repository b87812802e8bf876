"""What the same networks cost with free choice of strategy: `auto` on one worker, beside the authors' cheapest row.

One worker needs no exchange. What it costs is Lambda time: a cold start, loading the shard and the inputs, unpacking
these, computing, packing the outputs. Large inputs come as several requests, one after another, so that a function
holds the activations of some samples only. It computes here, in a fresh process, in CPU seconds; a CSR product of scipy
in the same process says how fast this machine is beside the workers of the authors, who published the seconds that
scipy took there. A function of more memory has more cores: taken are as many as were busy here, in the mean, and no
more than it has.
"""

from __future__ import annotations

import csv
import math
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from bench.paper import LAYERS, SAMPLES
from bundle.io import read_manifest
from bundle.store import FolderStore
from client.errors import UsageError
from client.verify_run import CACHE_BYTES
from costs import PRICES
from costs.limits import LAMBDA_MEMORY_PER_VCPU
from engine.cache import ShardCache
from engine.loaded import LoadedRank
from engine.loading import load_rank
from engine.machine import Machine
from partition import compile_to_store
from runs.execute import NO_CHANNEL
from runs.values import dump_npz, load_npz
from zoo.graphchallenge import GraphChallenge, Options
from zoo.graphchallenge.network import FAN_IN, generate

COLD_S = 2.5  # an environment with onnxruntime and boto3 begins within 1.7 s on the embedded cloud; half more
LOAD_BYTES_PER_S = 50e6  # one stream from S3 gives 50 to 100 MB/s to a Lambda function
GETS, PUTS = 10, 3  # of a request: model, manifest, program, shard, input; claim, answer, record: with room
REQUEST_BYTES = 256 << 20  # of inputs as the model takes them
ONE_CPU_MB = LAMBDA_MEMORY_PER_VCPU.value  # with less memory a function computes more slowly, for the same USD
MEMORY_ROOM = 1.15
CHECKED = 200  # samples held against numpy where no truth is published
_SCIPY_SAMPLES, _ROUNDS = 337, 5
_COLUMNS = {
    "N": "{neurons:,}",
    "requests": "{requests}",
    "memory MB": "{memory_mb:,}",
    "cores": "{cores:.1f}",
    "load s": "{load_s:.1f}",
    "compute s": "{compute_s:.1f}",
    "USD ours": "{usd_ours:.6f}",
    "theirs": "{usd_theirs:.4f}",
    "ratio": "1/{times:.0f}",
    "without dropping samples": "{usd_ours_without_dropping:.5f}",
    "right": "{right}",
}


@dataclass(frozen=True)
class Alone:
    """One worker's run of a network, in CPU seconds of this machine.

    cores:           busy in the mean.
    loaded_bytes:    of the shard, and of the inputs as they lie on S3.
    multiplications: of the live samples; all_multiplications: were none dropped.
    scipy_rate:      multiplications per second of a CSR product here.
    right, checked:  samples.
    """

    neurons: int
    compute_s: float
    cores: float
    requests: int
    loaded_bytes: int
    peak_bytes: int
    multiplications: int
    all_multiplications: int
    scipy_rate: float
    right: int
    checked: int


@dataclass(frozen=True)
class Theirs:
    """The authors' cheapest row for a network, and how fast scipy was on one virtual CPU of their workers.

    rate: multiplications per second.
    """

    usd: float
    rate: float


def measure_alone(
    neurons: int,
    data: Path | None,
    layers: int = LAYERS,
    samples: int = SAMPLES,
    request_bytes: int = REQUEST_BYTES,
) -> Alone:
    """Compile for one worker here, run it in a process of its own. request_bytes: of inputs, at most about."""
    card = GraphChallenge(neurons)
    options = Options(layers=layers, data=data)
    with tempfile.TemporaryDirectory(prefix="fsd-paper-") as folder:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as compiler:
            loaded_bytes = compiler.submit(_compile, card, options, folder).result()
            files = compiler.submit(_save_inputs, card, options, folder, samples, request_bytes).result()
        loaded_bytes += sum(file.stat().st_size for file in files)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as worker:
            return worker.submit(_run, card, options, folder, files, loaded_bytes).result()


def _compile(card: GraphChallenge, options: Options, folder: str) -> int:
    store = FolderStore(Path(folder) / "store")
    manifest = compile_to_store(store, card.build(options, Path(folder)), "auto", 1)
    (Path(folder) / "bundle").write_text(manifest.bundle_id)
    return sum(asset.size_bytes for asset in manifest.assets)


def _save_inputs(card: GraphChallenge, options: Options, folder: str, samples: int, request_bytes: int) -> list[Path]:
    """The inputs of each request, as a client puts them on S3."""
    x = card.inputs(options, samples)["x"]
    requests = math.ceil(x.nbytes / request_bytes)
    files = [Path(folder) / f"input-{i}.npz" for i in range(requests)]
    for file, part in zip(files, np.array_split(x, requests), strict=True):
        file.write_bytes(dump_npz({"x": part}))
    return files


def _run(card: GraphChallenge, options: Options, folder: str, files: Sequence[Path], loaded_bytes: int) -> Alone:
    store = FolderStore(Path(folder) / "store")
    manifest = read_manifest(store, (Path(folder) / "bundle").read_text())
    started, cpu_started = time.perf_counter(), time.process_time()
    loaded = load_rank(store, manifest, 0, ShardCache(CACHE_BYTES))
    done = [_request(loaded, file.read_bytes()) for file in files]
    compute_s = time.process_time() - cpu_started
    cores = compute_s / (time.perf_counter() - started)
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    each, samples = card.neurons * FAN_IN, sum(request.samples for request in done)
    count = samples if card.has_published_truth(options) else min(samples, CHECKED)
    outputs = (load_npz(request.outputs, {}, "outputs")["y"] for request in done)
    y = np.concatenate(list(islice(outputs, math.ceil(count / done[0].samples))))[:count]
    verdict = card.check({"y": y}, card.examples(options, count))
    return Alone(
        neurons=card.neurons,
        compute_s=compute_s,
        cores=cores,
        requests=len(files),
        loaded_bytes=loaded_bytes,
        peak_bytes=peak_bytes,
        multiplications=each * sum(request.live for request in done),
        all_multiplications=each * samples * options.layers,
        scipy_rate=_scipy_rate(card.neurons),
        right=verdict.right,
        checked=verdict.total,
    )


@dataclass(frozen=True)
class _Request:
    """One request's answer. live: samples that are alive before a layer, summed over the layers."""

    samples: int
    live: int
    outputs: bytes


def _request(loaded: LoadedRank, data: bytes) -> _Request:
    x = load_npz(data, {}, "inputs")["x"]
    machine = Machine(loaded, NO_CHANNEL, (0,))
    outputs = machine.run({"x": x})
    live = [record.live_samples for record in machine.trace if record.live_samples is not None]
    return _Request(len(x), sum(live[:-1]), dump_npz(outputs))


def _scipy_rate(neurons: int) -> float:
    reads = generate(neurons, 4, seed=0).reads(3)
    values = np.full(reads.size, 1 / 16, np.float32)
    matrix = sparse.csr_array((values, reads.ravel(), np.arange(0, reads.size + 1, FAN_IN)), (neurons, neurons))
    x = np.random.default_rng(0).random((neurons, _SCIPY_SAMPLES), np.float32)
    matrix @ x
    started = time.process_time()
    for _ in range(_ROUNDS):
        matrix @ x
    return _ROUNDS * reads.size * _SCIPY_SAMPLES / (time.process_time() - started)


def read_theirs(path: Path, neurons: int) -> Theirs:
    """Of a network's rows: the least USD, all included; the rate is that of its smallest number of workers.

    Raises:
        UsageError: no such table, or nothing in it of this network.
    """
    try:
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["neurons"] == str(neurons)]
    except OSError as error:
        raise UsageError(f"--published {path}: expected the authors' table of results, got {error}") from error
    if not rows:
        raise UsageError(f"--published {path}: expected rows of {neurons} neurons, got none")
    first = min(rows, key=lambda row: int(row["workers"]))
    done = neurons * FAN_IN * LAYERS * SAMPLES
    share = min(1.0, int(first["memory_mb"]) / ONE_CPU_MB)
    cheapest = min(float(row["total_usd"]) for row in rows if row["total_usd"])
    return Theirs(cheapest, done / float(first["computation_s"]) / share)


def auto_line(alone: Alone, theirs: Theirs) -> dict[str, Any]:
    """Ours, all included, beside the authors' cheapest; what dropping dead samples contributes apart."""
    scale = alone.scipy_rate / theirs.rate
    memory_mb = max(ONE_CPU_MB, math.ceil(alone.peak_bytes * MEMORY_ROOM / 2**20))
    cores = max(1.0, min(alone.cores, memory_mb / ONE_CPU_MB))
    load_s, compute_s = alone.loaded_bytes / LOAD_BYTES_PER_S, alone.compute_s * scale / cores
    all_s = compute_s * alone.all_multiplications / alone.multiplications
    usd, usd_all = (_usd(memory_mb, COLD_S + load_s + seconds, alone.requests) for seconds in (compute_s, all_s))
    return {
        "neurons": alone.neurons,
        "requests": alone.requests,
        "memory_mb": memory_mb,
        "cores": cores,
        "cold_s": COLD_S,
        "load_s": load_s,
        "compute_s": compute_s,
        "machine_beside_theirs": scale,
        "usd_ours": usd,
        "usd_theirs": theirs.usd,
        "usd_ratio": usd / theirs.usd,
        "usd_ours_without_dropping": usd_all,
        "right": f"{alone.right} of {alone.checked}",
    }


def _usd(memory_mb: int, seconds: float, requests: int) -> float:
    each = PRICES["lambda.request"].usd + GETS * PRICES["s3.get"].usd + PUTS * PRICES["s3.put"].usd
    return seconds * memory_mb / 1024 * PRICES["lambda.gb_second.x86_64"].usd + requests * each


def auto_markdown(lines: Sequence[dict[str, Any]]) -> str:
    """A table."""
    figures = ({"times": 1 / line["usd_ratio"], **line} for line in lines)
    rows = [tuple(_COLUMNS), ["---:"] * len(_COLUMNS)]
    rows += [[form.format_map(line) for form in _COLUMNS.values()] for line in figures]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
