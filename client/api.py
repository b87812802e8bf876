"""The Python client: what `fsd` does, as functions.

client = Client()
client.register("digits-mlp", strategy="row", workers=4)
answer = client.infer("digits-mlp", {"x": images})
answer.outputs["y"]
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError as AwsError
from botocore.exceptions import ConnectionError as AwsConnectionError
from botocore.exceptions import HTTPClientError
from numpy.typing import NDArray

from bundle.registry import delete_model, roll_back
from bundle.store import S3Store
from client.bill import RunBill, bill_of_run
from client.errors import ClientError, CloudError, UsageError
from client.target import Stage, find_stage
from runs.catalog import describe_model, list_models
from runs.errors import RunError, RunNotFound
from runs.inputs import parse_uri
from runs.objects import Objects
from runs.record import GRACE_S, RunFiles
from runs.values import dump_npz, load_npz

# Lambda takes 6 MB in a synchronous call; base64 adds a third.
INLINE_BYTES = 4_000_000
POLL_S = 0.25
# How long a function may take from its invocation until it has accepted the request, cold start included.
START_S = 60.0


class RunFailed(ClientError):
    """The run ended without an answer; `error` is its {type, message, retry}."""

    def __init__(self, run_id: str, error: Mapping[str, Any]) -> None:
        super().__init__(str(error["message"]))
        self.run_id = run_id
        self.error = dict(error)


@dataclass(frozen=True, eq=False)
class Answer:
    """A run's answer.

    outputs: array by output name; empty while the run goes on.
    figures: run_id, status, seconds, phases, ranks, calls, usd: as `infer` gives them.
    """

    run_id: str
    status: str
    outputs: dict[str, NDArray[Any]]
    figures: dict[str, Any] = field(default_factory=dict)


class Client:
    """One stage, on the embedded cloud or AWS (see client.target)."""

    def __init__(self, stage: Stage | None = None) -> None:
        self.stage = stage or find_stage()
        self._objects = Objects(self.stage.s3, self.stage.bucket)
        self._store = S3Store(self.stage.s3, self.stage.bucket)

    def register(
        self,
        model: str | Path,
        *,
        name: str = "",
        strategy: str = "auto",
        workers: int = 1,
        options: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """Compile a zoo model, an .onnx file or an s3:// object here and upload it; the new model's entry.

        Raises:
            ClientError, CompileError, ZooError, BundleError: one line; nothing is registered then.
        """
        from client.register import compile_and_upload  # the compiler takes half a second to import

        return compile_and_upload(self.stage, self._store, str(model), name, strategy, workers, options or {})

    def infer(
        self,
        model: str,
        inputs: Mapping[str, NDArray[Any]],
        *,
        run_id: str = "",
        wait: bool = True,
        **fields: Any,
    ) -> Answer:
        """Send a request; wait for its answer unless `wait` is false and it takes longer than wait_s.

        fields: further fields of runs.request.Request: channel, outputs, wait_s, deadline_s, ...

        Raises:
            RunFailed: the run ended without an answer.
            CloudError: the cloud cannot be reached.
        """
        run_id = run_id or uuid.uuid4().hex
        event = {"model": model, "run_id": run_id, "encoding": "npz", **fields, **self._place(run_id, inputs)}
        answer = self._invoke("infer", event)
        if answer is None:
            self._await_claim(run_id)
        if answer is None or (wait and answer["status"] == "running"):
            return self.result(run_id, wait=True)
        return self.answer(answer)

    def result(self, run_id: str, *, wait: bool = False) -> Answer:
        """The answer of a run, now or when it has one.

        Raises:
            RunFailed: the run ended without an answer.
            UsageError: there is no such run.
        """
        files = RunFiles(self._objects, run_id)
        while True:
            answer = files.record()
            if answer is not None:
                return self.answer(answer)
            if not self._goes_on(files):
                message = f"run {run_id}: its deadline has passed and it left no result: send the request again"
                raise RunFailed(run_id, {"type": "run_lost", "message": message, "retry": True})
            if not wait:
                return Answer(run_id, "running", {}, {"run_id": run_id, "status": "running"})
            time.sleep(POLL_S)

    def models(self) -> list[dict[str, Any]]:
        """The registered models."""
        return list_models(self._store)

    def roll_back(self, name: str, to: str = "") -> dict[str, Any]:
        """Point a name at a bundle that it pointed at before; its entry then.

        to: the bundle's id or its first digits; empty = the newest former one.

        Raises:
            BundleError: there is no such model, or no such bundle of it.
        """
        roll_back(self._store, name, to)
        return describe_model(self._store, name)

    def remove(self, name: str) -> None:
        """Forget a model, and its bundle unless another name has it.

        Raises:
            BundleError: there is no such model.
        """
        delete_model(self._store, name)

    def bill(self, run_id: str) -> RunBill:
        """What a run cost, from its functions' logs: final calls and billed Lambda time.

        Raises:
            UsageError: the logs know no such run (yet).
        """
        return bill_of_run(self.stage, run_id)

    def _place(self, run_id: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, str]:
        data = dump_npz(inputs)
        if len(data) * 4 // 3 <= INLINE_BYTES:
            return {"inputs_npz": base64.b64encode(data).decode()}
        key = f"runs/{run_id}/input.npz"
        self._objects.put(key, data)
        return {"inputs_uri": f"s3://{self.stage.bucket}/{key}"}

    def _invoke(self, function: str, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """The function's answer; None when the connection ended before it came: the run may go on."""
        try:
            answer = self.stage.functions.invoke(
                FunctionName=self.stage.function(function), Payload=json.dumps(event).encode()
            )
        except AwsConnectionError as error:
            raise CloudError(f"the cloud does not answer: {error}") from error
        except HTTPClientError:
            return None
        except AwsError as error:
            raise CloudError(f"{function}: {error}") from error
        payload = json.loads(answer["Payload"].read())
        if answer.get("FunctionError"):
            raise CloudError(f"{function} failed: {payload.get('errorType')}: {payload.get('errorMessage')}")
        return dict(payload)

    def _await_claim(self, run_id: str) -> None:
        """Wait for a request whose connection was lost to be accepted: the function may still be starting.

        Raises:
            CloudError: it was not; nothing runs.
        """
        until = time.monotonic() + START_S
        while self._objects.get(RunFiles(self._objects, run_id).key("request.json")) is None:
            if time.monotonic() > until:
                raise CloudError(f"run {run_id}: the connection was lost and the request not accepted in {START_S:g} s")
            time.sleep(POLL_S)

    def _goes_on(self, files: RunFiles) -> bool:
        try:
            claim = files.read_claim()
        except RunNotFound as error:
            raise UsageError(str(error)) from None
        except RunError as error:
            raise ClientError(str(error)) from error
        return time.time() < claim.deadline + GRACE_S

    def answer(self, answer: Mapping[str, Any]) -> Answer:
        """What the `infer` function gave, with its outputs as arrays, fetched from S3 where they lie there.

        Raises:
            RunFailed: it is a failure.
        """
        if answer["status"] == "failed":
            raise RunFailed(str(answer["run_id"]), answer["error"])
        outputs = self._outputs(answer)
        return Answer(str(answer["run_id"]), str(answer["status"]), outputs, _without_outputs(answer))

    def _outputs(self, answer: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        if "outputs_npz" in answer:
            return load_npz(base64.b64decode(answer["outputs_npz"]), {}, "outputs")
        if "outputs_uri" not in answer:
            return {}
        bucket, key = parse_uri(answer["outputs_uri"], "outputs_uri")
        stored = Objects(self.stage.s3, bucket).get(key)
        if stored is None:
            raise ClientError(f"result {answer['outputs_uri']} has expired: results are kept for 7 days")
        return load_npz(stored.data, {}, "outputs")


def _without_outputs(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("outputs", "outputs_npz")}
