"""What a caller may ask of `infer`, parsed from the event and held against the model's signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bundle.dtypes import is_container
from bundle.manifest import TensorSpec
from runs.errors import BadRequest
from runs.values import Array, from_json, load_npz

DEFAULT_WAIT_S = 90.0
DEFAULT_DEADLINE_S = 840.0
DEFAULT_START_S = 120.0
DEFAULT_LANE_WAIT_S = 10.0
DEFAULT_STALL_S = 120.0
# A request that nobody waits for stands in line, in a queue, as long as it may run.
ASYNC_LANE_WAIT_S = DEFAULT_DEADLINE_S
DEFAULT_ATTEMPTS = 3
MAX_ATTEMPTS = 10
MAX_KEY = 256
CHANNELS = ("queue", "object", "hybrid")
AUTO = "auto"
PREFERENCES = ("usd", "seconds")
ENCODINGS = ("json", "npz")
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_MODEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}(@[0-9a-f]{1,32})?")


@dataclass(frozen=True)
class Request:
    """One request to `infer`.

    inputs:     {name: nested lists}; or inputs_npz: base64 of an .npz; or inputs_uri: s3://bucket/key of one.
    outputs:    names of the outputs wanted; empty = all.
    run_id:     32 hex digits chosen by the caller, so that a request sent twice is one run; made up when absent.
    idempotency_key: text chosen by the caller instead of a run id, which is then made from it.
    max_usd:    refuse the request when the run must cost more; None = no limit.
    channel:    how tensors travel between the ranks; "auto" = as is predicted to be best for the request's sizes.
    prefer:     what the run makes small: "usd" or "seconds".
    encoding:   of the answer's outputs: nested lists ("json") or base64 of an .npz ("npz").
    wait_s:     answer within this time: the result, or `running` while the run goes on.
    deadline_s: the run ends, one way or the other, within this time.
    start_s:    every worker has said hello within this time, or the run fails.
    lane_wait_s: how long to wait for a free lane.
    stall_s:    an attempt in which rank 0 has heard nothing for so long is given up; the next one gets twice as long.
    max_attempts: a run whose worker is lost begins again so often in all; 1 = never.
    """

    model: str
    inputs: Mapping[str, object] = field(default_factory=dict)
    inputs_npz: str = ""
    inputs_uri: str = ""
    outputs: tuple[str, ...] = ()
    run_id: str = ""
    idempotency_key: str = ""
    max_usd: float | None = None
    channel: str = "queue"
    prefer: str = "usd"
    encoding: str = "json"
    wait_s: float = DEFAULT_WAIT_S
    deadline_s: float = DEFAULT_DEADLINE_S
    start_s: float = DEFAULT_START_S
    lane_wait_s: float = DEFAULT_LANE_WAIT_S
    stall_s: float = DEFAULT_STALL_S
    max_attempts: int = DEFAULT_ATTEMPTS

    def to_json(self) -> dict[str, object]:
        """What `parse_request` reads back."""
        return {name: value for name, value in asdict(self).items() if value not in ("", (), {}, None)}


def parse_request(event: object) -> Request:
    """The request that an event holds.

    Raises:
        BadRequest: a field is missing, unknown, or not what it should be.
    """
    if not isinstance(event, Mapping):
        raise BadRequest(f"request: expected a JSON object with model and inputs, got {type(event).__name__}")
    event = _spell_out(event)
    unknown = sorted(set(event) - set(Request.__dataclass_fields__))
    if unknown:
        known = ", ".join(Request.__dataclass_fields__)
        raise BadRequest(f"request: unknown field {unknown[0]!r}; known: {known}")
    request = Request(
        model=_match(event, "model", _MODEL, "a model's name, perhaps with @ and a bundle's first digits"),
        inputs=_mapping(event, "inputs"),
        inputs_npz=_text(event, "inputs_npz"),
        inputs_uri=_text(event, "inputs_uri"),
        outputs=_names(event, "outputs"),
        run_id=_run_id(event),
        idempotency_key=_text(event, "idempotency_key"),
        max_usd=_usd(event, "max_usd"),
        channel=_choice(event, "channel", (*CHANNELS, AUTO)),
        prefer=_choice(event, "prefer", PREFERENCES),
        encoding=_choice(event, "encoding", ENCODINGS),
        wait_s=_seconds(event, "wait_s", DEFAULT_WAIT_S),
        deadline_s=_seconds(event, "deadline_s", DEFAULT_DEADLINE_S),
        start_s=_seconds(event, "start_s", DEFAULT_START_S),
        lane_wait_s=_seconds(event, "lane_wait_s", DEFAULT_LANE_WAIT_S),
        stall_s=_seconds(event, "stall_s", DEFAULT_STALL_S),
        max_attempts=_count(event, "max_attempts", DEFAULT_ATTEMPTS, MAX_ATTEMPTS),
    )
    if sum(map(bool, (request.inputs, request.inputs_npz, request.inputs_uri))) != 1:
        raise BadRequest("request: expected exactly one of inputs, inputs_npz, inputs_uri")
    return request


def run_id_of(idempotency_key: str) -> str:
    """The run id that an idempotency key stands for.

    Raises:
        BadRequest: it is no key.
    """
    if not 1 <= len(idempotency_key) <= MAX_KEY or not idempotency_key.isprintable():
        raise BadRequest(f"idempotency_key: expected 1 to {MAX_KEY} printable characters")
    return hashlib.sha256(b"fsd idempotency key\0" + idempotency_key.encode()).hexdigest()[:32]


def _run_id(event: Mapping[str, Any]) -> str:
    key = _text(event, "idempotency_key")
    if not event.get("run_id"):
        return run_id_of(key) if key else uuid.uuid4().hex
    run_id = _match(event, "run_id", _RUN_ID, "32 hex digits")
    if key and run_id != run_id_of(key):
        raise BadRequest(f"idempotency_key: its run id is {run_id_of(key)}, got run_id {run_id}: give one of them")
    return run_id


def _spell_out(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same event with `async` as what it means: answer at once, and wait longer for a lane."""
    if "async" not in event:
        return event
    rest = {name: value for name, value in event.items() if name != "async"}
    if not isinstance(event["async"], bool):
        raise BadRequest(f"async: expected true or false, got {str(event['async'])[:80]!r}")
    if not event["async"]:
        return rest
    if rest.get("wait_s", 0) != 0:
        raise BadRequest(f"async: such a request is answered at once, got wait_s={str(rest['wait_s'])[:80]}")
    return {"lane_wait_s": ASYNC_LANE_WAIT_S, **rest, "wait_s": 0}


def decode_inputs(request: Request, specs: Sequence[TensorSpec], npz: bytes | None = None) -> dict[str, Array]:
    """The request's tensors, held against the signature.

    npz: the object behind inputs_uri, where the request has one.

    Raises:
        BadRequest: an unknown or missing input, one that is no tensor, a wrong dtype or shape, an empty batch.
    """
    by_name = {spec.name: spec for spec in specs}
    for spec in specs:
        if is_container(spec.dtype):
            raise BadRequest(f"input {spec.name!r}: requests carry tensors only, the model takes {spec.dtype}")
    if request.inputs:
        _check_names(list(request.inputs), by_name)
        arrays = {name: from_json(by_name[name], value) for name, value in request.inputs.items()}
    else:
        data = npz if npz is not None else _base64(request.inputs_npz)
        arrays = load_npz(data, by_name, request.inputs_uri or "inputs_npz")
        _check_names(list(arrays), by_name)
    _check_tensors(arrays, specs)
    return arrays


def check_outputs(wanted: Sequence[str], specs: Sequence[TensorSpec]) -> None:
    """Hold the wanted outputs against the signature.

    Raises:
        BadRequest: an output that the model does not have, or one that is no tensor.
    """
    known = [spec.name for spec in specs]
    for name in wanted:
        if name not in known:
            raise BadRequest(f"output {name!r}: the model has {_listed(known)}")
    for spec in specs:
        if is_container(spec.dtype) and (not wanted or spec.name in wanted):
            raise BadRequest(
                f"output {spec.name!r}: answers carry tensors only, got {spec.dtype}; name other `outputs`"
            )


def _check_names(given: Sequence[str], specs: Mapping[str, TensorSpec]) -> None:
    for name in given:
        if name not in specs:
            raise BadRequest(f"input {name!r}: the model takes {_listed(specs)}")
    for name in specs:
        if name not in given:
            raise BadRequest(f"input {name!r} is missing: the model takes {_listed(specs)}")


def _check_tensors(arrays: Mapping[str, Array], specs: Sequence[TensorSpec]) -> None:
    sizes: dict[str, tuple[int, str]] = {}
    for spec in specs:
        array = arrays[spec.name]
        _check_dtype(spec, array)
        _check_shape(spec, array, sizes)


def _check_dtype(spec: TensorSpec, array: Array) -> None:
    got = "string" if array.dtype.kind in "OSU" else array.dtype.name
    if got != spec.dtype:
        raise BadRequest(f"input {spec.name!r}: expected dtype {spec.dtype}, got {got}")


def _check_shape(spec: TensorSpec, array: Array, sizes: dict[str, tuple[int, str]]) -> None:
    wanted = f"[{', '.join(str(size) or '?' for size in spec.shape)}]"
    fits = len(array.shape) == len(spec.shape) and all(
        want == got or isinstance(want, str) for want, got in zip(spec.shape, array.shape, strict=False)
    )
    if not fits:
        raise BadRequest(f"input {spec.name!r}: expected shape {wanted}, got {list(array.shape)}")
    for want, got in zip(spec.shape, array.shape, strict=True):
        if isinstance(want, str) and got == 0:
            raise BadRequest(
                f"input {spec.name!r}: expected at least one element along {want or 'every axis'}, "
                f"got shape {list(array.shape)}"
            )
        if isinstance(want, str) and want:
            size, other = sizes.setdefault(want, (got, spec.name))
            if size != got:
                raise BadRequest(f"input {spec.name!r}: {want} is {got} here and {size} in input {other!r}")


def _listed(names: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(repr(name) for name in names) or "none"


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("inputs_npz: expected base64 of an .npz") from None


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name, "")
    if not isinstance(value, str):
        raise BadRequest(f"{name}: expected text, got {type(value).__name__}")
    return value


def _match(event: Mapping[str, Any], name: str, pattern: re.Pattern[str], what: str) -> str:
    value = _text(event, name)
    if not pattern.fullmatch(value):
        raise BadRequest(f"{name}: expected {what}, got {value[:80]!r}")
    return value


def _mapping(event: Mapping[str, Any], name: str) -> Mapping[str, object]:
    value = event.get(name, {})
    if not isinstance(value, Mapping):
        raise BadRequest(f"{name}: expected an object of name: nested lists, got {type(value).__name__}")
    return value


def _names(event: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = event.get(name) or []
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise BadRequest(f"{name}: expected a list of names")
    return tuple(value)


def _choice(event: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str:
    value = event.get(name) or known[0]
    if value not in known:
        raise BadRequest(f"{name}: unknown {str(value)[:80]!r}; known: {', '.join(known)}")
    return str(value)


def _seconds(event: Mapping[str, Any], name: str, default: float) -> float:
    value = event.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 86_400:
        raise BadRequest(f"{name}: expected seconds between 0 and 86,400, got {str(value)[:80]!r}")
    return float(value)


def _usd(event: Mapping[str, Any], name: str) -> float | None:
    value = event.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e6:
        raise BadRequest(f"{name}: expected US dollars between 0 and 1,000,000, got {str(value)[:80]!r}")
    return float(value)


def _count(event: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = event.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BadRequest(f"{name}: expected a whole number from 1 to {most}, got {str(value)[:80]!r}")
    return value
