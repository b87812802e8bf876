"""SNS takes its parameters as a form. The SDK escapes it character by character, and twice: to sign, and to send.

A published message is some kilobytes of base64, and to escape it took a fifth of the CPU time of a publish. Here it is
done once, all characters of a kind together, and the SDK is given the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"
_ESCAPE, _SPACE = ord("%"), ord(" ")


def form_bytes(fields: Mapping[str, object]) -> bytes:
    """application/x-www-form-urlencoded of these fields: what botocore sends of them, by urllib's urlencode."""
    return b"&".join(_escaped(str(name)) + b"=" + _escaped(str(value)) for name, value in fields.items())


def _escaped(text: str) -> bytes:
    data = text.encode()
    unsafe = set(data.translate(None, _SAFE))
    for code in sorted(unsafe, key=_turn):
        data = data.replace(bytes([code]), b"+" if code == _SPACE else b"%%%02X" % code)
    return data


def _turn(code: int) -> int:
    """What replaces a character must not be replaced itself: % comes first, and the space that becomes + last."""
    return {_ESCAPE: 0, _SPACE: 2}.get(code, 1)


def send_forms_as_bytes(client: Any) -> None:
    """Have a client of a service with forms (SNS) encode each of them once.

    client: of boto3; its event `before-call` has the request before it is signed.
    """
    client.meta.events.register("before-call", _encode_body, unique_id="runs.forms")


def _encode_body(params: MutableMapping[str, Any], **_: object) -> None:
    if isinstance(params["body"], Mapping):
        params["body"] = form_bytes(params["body"])
