"""The embedded cloud: one emulator process on 127.0.0.1 with its log, state and temporary files in `.fsd/`.

Stages: pick a free port, start the process in a group of its own, wait until it answers, note it in `.fsd/cloud.json`;
`down` ends the whole group, so that no function process outlives it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from client.errors import CloudError

ROOT = Path(__file__).resolve().parent.parent
MINISTACK_VERSION = "1.5.33"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class CloudState:
    """A running embedded cloud: its process (and process group) id, port, and the endpoint that functions are given."""

    pid: int
    port: int
    functions_endpoint: str

    @property
    def endpoint(self) -> str:
        """URL of the cloud itself."""
        return f"http://127.0.0.1:{self.port}"


class EmbeddedCloud:
    """Starts, finds and stops the embedded cloud of one checkout.

    folder: where its log, state and temporary files go; `.fsd` of this checkout unless a test needs its own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or ROOT / ".fsd"
        self._state_file = self.folder / "cloud.json"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        """What the emulator printed since it started."""
        return self.folder / "cloud.log"

    def status(self) -> CloudState | None:
        """The running cloud, or None."""
        try:
            state = CloudState(**json.loads(self._state_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return state if _is_ours(state.pid) else None

    def require(self) -> CloudState:
        """The running cloud.

        Raises:
            CloudError: it is not running.
        """
        state = self.status()
        if state is None:
            raise CloudError("the embedded cloud is not running: start it with `fsd cloud up`")
        return state

    def up(
        self, *, environment: Mapping[str, str] | None = None, port: int = 0, functions_endpoint: str = ""
    ) -> CloudState:
        """Start the cloud unless it runs already, and wait until it answers.

        environment: emulator settings that override ours (LAMBDA_ACCOUNT_CONCURRENCY, AUTH, ...).
        functions_endpoint: what deployed functions use as AWS endpoint; the cloud itself when empty.

        Raises:
            CloudError: no emulator installed, or it did not come up in START_TIMEOUT_S.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / "cloud.lock"):
            running = self.status()
            if running is not None:
                return running
            port = port or free_port()
            endpoint = functions_endpoint or f"http://127.0.0.1:{port}"
            process = self._process = self._start(_settings(self.folder, port, endpoint) | dict(environment or {}))
            state = CloudState(process.pid, port, endpoint)
            self._state_file.write_text(json.dumps(asdict(state)))
            self._wait_until_ready(state, process)
            return state

    def down(self) -> bool:
        """Stop the cloud and every function process it started. False when it was not running."""
        state = self.status()
        self._state_file.unlink(missing_ok=True)
        if state is not None:
            _end_group(state.pid)
        if self._process is not None:
            self._process.wait()
            self._process = None
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        return state is not None

    def _start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        program = emulator()
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        for name in ("tmp", "state"):
            (self.folder / name).mkdir(exist_ok=True)
        with self.log_file.open("wb") as log:
            return subprocess.Popen(
                [str(program)],
                env=_inherited() | dict(environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_until_ready(self, state: CloudState, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(state.endpoint):
            if process.poll() is not None or time.monotonic() > deadline:
                self.down()
                raise CloudError(f"the embedded cloud did not start: see {self.log_file}")
            time.sleep(0.05)


def client_environment(state: CloudState) -> dict[str, str]:
    """What a shell needs so that `sls`, `aws` and boto3 talk to the embedded cloud."""
    return {
        "AWS_ENDPOINT_URL": state.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        # osls' invoke gives up after 120 s and starts the run again, up to four times.
        "AWS_CLIENT_TIMEOUT": "900000",
        "SLS_AWS_REQUEST_MAX_RETRIES": "0",
        "SLS_TELEMETRY_DISABLED": "1",
        "SLS_NOTIFICATIONS_MODE": "off",
        "NODE_NO_WARNINGS": "1",
        "FSD_STAGE": "local",
        "FSD_TARGET": "local",
        "FSD_PYTHON": str(ROOT / ".venv" / "bin" / "python"),
    }


def emulator() -> Path:
    """The emulator's program.

    Raises:
        CloudError: it is not installed.
    """
    program = ROOT / ".venv" / "cloud" / "bin" / "ministack"
    if not program.exists():
        raise CloudError("the embedded cloud is not installed: expected .venv/cloud, made by `make setup`")
    return program


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _settings(folder: Path, port: int, functions_endpoint: str) -> dict[str, str]:
    return {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "AWS_ENDPOINT_URL": functions_endpoint,
        "TMPDIR": str(folder / "tmp"),
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "state" / "s3"),
        # IAM is enforced: a function may do only what its role in serverless.yml says.
        "AUTH": "true",
        "LOG_LEVEL": "WARNING",
        "LAMBDA_WARM_TTL_SECONDS": "900",
    }


def _inherited() -> dict[str, str]:
    kept = ("HOME", "LANG", "LC_ALL", "PATH", "SSL_CERT_FILE")
    return {name: os.environ[name] for name in kept if name in os.environ}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _is_ours(pid: int) -> bool:
    """Whether `pid` is an emulator, so that a number that the system has given to another process is left alone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(word.endswith(b"/ministack") for word in words)


def _group_alive(group: int) -> bool:
    """Whether a process of the group runs; a zombie that nobody reaps, as in a container without init, does not."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(_runs_in(folder, group) for folder in Path("/proc").iterdir() if folder.name.isdigit())


def _runs_in(process: Path, group: int) -> bool:
    try:
        state, _, process_group = (process / "stat").read_text().rsplit(")", 1)[1].split()[:3]
    except OSError:
        return False
    return int(process_group) == group and state != "Z"


def _end_group(group: int) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, kind)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while _group_alive(group) and time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(group, os.WNOHANG)
            time.sleep(0.02)
        if not _group_alive(group):
            return
