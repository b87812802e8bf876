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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from bundle.io import delete_bundle
from bundle.registry import delete_model, give_alias, known_bundles, roll_back
from bundle.store import S3Store
from client.bill import RunBill, bill_of_run
from client.cancel import cancel_run
from client.delivery import POLL_S, deliver
from client.errors import ClientError, UsageError
from client.logs import LogLine, logs_of_run
from client.revival import Reviver
from client.target import Stage, find_stage
from runs.catalog import describe_model, list_models
from runs.errors import RunError, RunNotFound
from runs.inputs import parse_uri
from runs.objects import Objects
from runs.record import GRACE_S, RunFiles, dead_letter_key, running
from runs.request import run_id_of
from runs.tenure import Tenures
from runs.usage import bundles_in_use, unused_bundles
from runs.values import dump_npz, load_npz

if TYPE_CHECKING:
    from client.division import Division

# Lambda takes 6 MB in a synchronous call; base64 adds a third.
INLINE_BYTES = 4_000_000
# Lambda's retries of a coordinator that died come within three minutes; after that nobody goes on with its run.
LOST_S = 240.0
# The upload of a bundle, and whatever a clock is wrong by.
YOUNG_S = 3600.0
# Who waits for a run asks so often whether anybody still drives it.
LOOK_S = 2.0


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
        workers: int | None = None,
        division: Division | None = None,
        options: Mapping[str, object] | None = None,
        precision: str = "exact",
    ) -> dict[str, Any]:
        """Compile a zoo model, an .onnx file or an s3:// object here and upload it; the new model's entry.

        workers:   None = what the grid says, or 1.
        division:  strategy, workers, precision and limits, instead of the three.
        options:   of a zoo model.
        precision: in what floats travel between ranks; all but "exact" trade accuracy for bytes.

        Raises:
            ClientError, CompileError, ZooError, BundleError: one line; nothing is registered then.
        """
        from client.division import Division  # the compiler takes half a second to import
        from client.register import compile_and_upload

        wanted = division or Division(strategy, workers, precision=precision)
        return compile_and_upload(self.stage, self._store, str(model), name, wanted, options or {})

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
        key = str(fields.get("idempotency_key", ""))
        run_id = run_id or (run_id_of(key) if key else uuid.uuid4().hex)
        event = {"model": model, "run_id": run_id, "encoding": "npz", **fields, **self._place(run_id, inputs)}
        answer = deliver(self.stage, self._objects, event, run_id)
        if wait and answer["status"] == "running":
            return self.result(run_id, wait=True)
        return self.answer(answer)

    def result(self, run_id: str, *, wait: bool = False) -> Answer:
        """The answer of a run, now or when it has one. Who waits calls the next driver where one is silent.

        Raises:
            RunFailed: the run ended without an answer.
            UsageError: there is no such run.
        """
        files, look_at, reviver = RunFiles(self._objects, run_id), 0.0, Reviver(self.stage, self._objects, run_id)
        while True:
            answer = files.record()
            if answer is not None:
                return self.answer(answer)
            if time.monotonic() >= look_at:
                self._check_goes_on(files)
                look_at = time.monotonic() + LOOK_S
            if not wait:
                return Answer(run_id, "running", {}, {"run_id": run_id, "status": "running"})
            reviver.look()
            time.sleep(POLL_S)

    def cancel(self, run_id: str) -> dict[str, Any]:
        """End a run; its answer: `cancelled`, or how it ended before that.

        Raises:
            UsageError: there is no such run.
            CloudError: the cloud cannot be reached.
        """
        return cancel_run(self.stage, self._objects, run_id)

    def retry(self, run_id: str, *, wait: bool = True) -> Answer:
        """Send the request of a run that failed, or was cancelled, once more; a run of its own, the same for each call.

        Raises:
            UsageError: there is no such run, or it goes on, or it is done.
            RunFailed: it failed again.
        """
        files = RunFiles(self._objects, run_id)
        if self._goes_on(files) and (record := files.record() or running(run_id))["status"] in ("running", "done"):
            raise UsageError(f"run {run_id}: expected one that failed or was cancelled, it is {record['status']}")
        request = replace(files.read_claim().request, run_id=run_id_of(f"retry of {run_id}"), idempotency_key="")
        answer = deliver(self.stage, self._objects, request.to_json(), request.run_id)
        self._objects.remove(dead_letter_key(run_id))
        return self.result(request.run_id, wait=True) if wait and answer["status"] == "running" else self.answer(answer)

    def dead_letters(self) -> list[dict[str, Any]]:
        """The runs that failed for good and were not retried, each with its error."""
        keys = [key for page in self._objects.keys(dead_letter_key("")[: -len(".json")]) for key in page]
        found = (self._objects.get(key) for key in keys)
        return [dict(json.loads(stored.data)) for stored in found if stored is not None]

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

    def alias(self, name: str, model: str) -> dict[str, Any]:
        """Give a version one more name; its entry then. It stays there when the model is registered again.

        model: `name`, or `name@` and the first digits of one of its bundles.

        Raises:
            BundleError: there is no such model, or no such version of it.
        """
        give_alias(self._store, name, model, self._in_use)
        return describe_model(self._store, name)

    def remove(self, name: str) -> None:
        """Forget a model, and its bundles unless another name has them, or a run under way.

        Raises:
            BundleError: there is no such model.
        """
        delete_model(self._store, name, self._in_use)

    def collect(self) -> list[str]:
        """Remove the bundles that no name has and no run under way reads; their ids.

        A bundle younger than an hour stays: somebody may be about to name it.
        """
        known = known_bundles(self._store) | self._in_use()
        unused = list(unused_bundles(self._objects, known, YOUNG_S))
        for bundle_id in unused:
            delete_bundle(self._store, bundle_id)
        return unused

    def _in_use(self) -> frozenset[str]:
        return bundles_in_use(self._objects)

    def bill(self, run_id: str) -> RunBill:
        """What a run cost, from its functions' logs: final calls and billed Lambda time.

        Raises:
            UsageError: the logs know no such run (yet).
        """
        return bill_of_run(self.stage, run_id, RunFiles(self._objects, run_id).record() or {})

    def logs(self, run_id: str) -> list[LogLine]:
        """What the ranks of a run wrote to their logs, by time.

        Raises:
            UsageError: the logs know no such run (yet).
        """
        return logs_of_run(self.stage, run_id)

    def _place(self, run_id: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, str]:
        data = dump_npz(inputs)
        if len(data) * 4 // 3 <= INLINE_BYTES:
            return {"inputs_npz": base64.b64encode(data).decode()}
        key = f"runs/{run_id}/input.npz"
        self._objects.put(key, data)
        return {"inputs_uri": f"s3://{self.stage.bucket}/{key}"}

    def _check_goes_on(self, files: RunFiles) -> None:
        if not self._goes_on(files):
            message = f"run {files.run_id}: rank 0 is dead and nobody goes on: fsd retry {files.run_id}"
            raise RunFailed(files.run_id, {"type": "run_lost", "message": message, "retry": True})

    def _goes_on(self, files: RunFiles) -> bool:
        try:
            claim = files.read_claim()
        except RunNotFound as error:
            raise UsageError(str(error)) from None
        except RunError as error:
            raise ClientError(str(error)) from error
        tenures = Tenures(self._objects, files.run_id)
        tenure = tenures.current()
        alive = tenure is not None and tenures.left_s(tenure) > -LOST_S
        return alive and time.time() < claim.deadline + GRACE_S

    def answer(self, answer: Mapping[str, Any]) -> Answer:
        """What the `infer` function gave, with its outputs as arrays, fetched from S3 where they lie there.

        Raises:
            RunFailed: it is a failure.
        """
        if answer["status"] in ("failed", "cancelled"):
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
