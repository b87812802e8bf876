"""The names of models: `models/<name>.json` says which bundle a name points at, and at which it did before.

The record is written last and removed first, so that a name never points at half a bundle. Each bundle is a version,
`name@` and the first digits of its id. An alias is a name like any other, that was given to a version which exists.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass

from bundle.errors import CorruptBundleError, InvalidNameError, MissingKeyError
from bundle.fields import FieldError, parse_json
from bundle.io import delete_bundle, read_manifest
from bundle.manifest import Manifest
from bundle.store import Store

MAX_RECORD_BYTES = 1 << 16
# Versions that a name can be rolled back to; older ones are removed when a new one is registered.
KEPT_FORMER = 10
InUse = Callable[[], Collection[str]]
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True)
class ModelRecord:
    """What a name stands for.

    version:       sha256 of the model's bytes.
    registered_at: seconds since 1970.
    former:        bundles that the name pointed at before, newest first: runs under way may still read them.
    """

    name: str
    version: str
    bundle_id: str
    registered_at: int
    former: tuple[str, ...] = ()


def check_name(name: str) -> None:
    """Refuse what is no model's name: it becomes part of a key, which it must not escape.

    Raises:
        InvalidNameError: what was expected, what came.
    """
    if not _NAME.fullmatch(name):
        raise InvalidNameError(
            f"model name: expected 1 to 63 of a-z 0-9 . _ - and a letter or digit first, got {name[:100]!r}"
        )


def register_model(store: Store, name: str, manifest: Manifest, in_use: InUse | None = frozenset) -> ModelRecord:
    """Point a name at a bundle that is stored already. The bundle it pointed at before stays, for runs under way.

    in_use: tells the bundles that must stay though no name has them any more; asked where one would be removed. None =
            all stay.

    Raises:
        InvalidNameError: not a model's name.
    """
    check_name(name)
    before = _read(store, name)
    bundles = () if before is None else (before.bundle_id, *before.former)
    former = tuple(dict.fromkeys(bundle for bundle in bundles if bundle != manifest.bundle_id))
    record = ModelRecord(name, manifest.version, manifest.bundle_id, int(time.time()), former[:KEPT_FORMER])
    store.put(_key(name), json.dumps(asdict(record)).encode())
    if in_use is not None:
        _collect(store, former[KEPT_FORMER:], in_use)
    return record


def roll_back(store: Store, name: str, to: str = "") -> ModelRecord:
    """Point a name at a bundle that it pointed at before; what it points at now becomes a former one.

    to: the bundle id or its first digits; empty = the newest former one.

    Raises:
        MissingKeyError: no model of that name, or no such former bundle of it.
    """
    record = read_record(store, name)
    found = [bundle for bundle in record.former if bundle.startswith(to)]
    if not found:
        raise MissingKeyError(f"model {name!r}: no former bundle {to or 'at all'}; it has {list(record.former)}")
    return register_model(store, name, read_manifest(store, found[0]))


def find_version(store: Store, reference: str) -> tuple[ModelRecord, str]:
    """The record and the bundle that `name` or `name@DIGITS` stands for: the first digits of a bundle that it has.

    Raises:
        MissingKeyError: no model of that name, or not exactly one such version of it.
        InvalidNameError, CorruptBundleError: as `read_record`.
    """
    name, at, digits = reference.partition("@")
    record = read_record(store, name)
    if not at:
        return record, record.bundle_id
    known = (record.bundle_id, *record.former)
    found = [bundle for bundle in known if digits and bundle.startswith(digits)]
    if len(found) != 1:
        raise MissingKeyError(f"model {name!r}: expected one version {digits[:32]!r}, it has {', '.join(known)}")
    return record, found[0]


def give_alias(store: Store, alias: str, reference: str, in_use: InUse = frozenset) -> ModelRecord:
    """Point a name at a version that another one has. It stays there when that one is registered again.

    Raises:
        MissingKeyError, InvalidNameError, CorruptBundleError: as `find_version`.
    """
    check_name(alias)
    bundle_id = find_version(store, reference)[1]
    return register_model(store, alias, read_manifest(store, bundle_id), in_use)


def known_bundles(store: Store) -> frozenset[str]:
    """Every bundle that some name points at, or did before and could be rolled back to."""
    records = (_read(store, name) for name in list_records(store))
    return frozenset(bundle for record in records if record for bundle in (record.bundle_id, *record.former))


def read_record(store: Store, name: str) -> ModelRecord:
    """What a name stands for.

    Raises:
        MissingKeyError: no model of that name.
        InvalidNameError: not a model's name.
        CorruptBundleError: the record is not one.
    """
    check_name(name)
    record = _read(store, name)
    if record is None:
        raise MissingKeyError(f"model {name!r} is not registered")
    return record


def list_records(store: Store) -> Sequence[str]:
    """The registered names, sorted."""
    return sorted(key.removeprefix("models/").removesuffix(".json") for key in store.list("models/"))


def delete_model(store: Store, name: str, in_use: InUse = frozenset) -> None:
    """Forget a name, and remove its bundles, those that it pointed at before too, unless another name has them.

    in_use: as `register_model`.

    Raises:
        MissingKeyError, InvalidNameError, CorruptBundleError: as `read_record`.
    """
    record = read_record(store, name)
    store.delete([_key(name)])
    _collect(store, (record.bundle_id, *record.former), in_use)


def _collect(store: Store, bundles: Sequence[str], in_use: InUse) -> None:
    """Remove those of `bundles` that no name points at and nobody uses."""
    unknown = set(bundles) - known_bundles(store) if bundles else set()
    for bundle_id in sorted(unknown - set(in_use())) if unknown else ():
        delete_bundle(store, bundle_id)


def _read(store: Store, name: str) -> ModelRecord | None:
    try:
        data = store.get(_key(name), MAX_RECORD_BYTES)
    except MissingKeyError:
        return None
    try:
        fields = parse_json(data, f"model {name}")
        record = ModelRecord(
            name=fields.text("name"),
            version=fields.text("version"),
            bundle_id=fields.text("bundle_id"),
            registered_at=fields.integer("registered_at"),
            former=fields.texts("former"),
        )
        fields.done()
    except FieldError as error:
        raise CorruptBundleError(str(error)) from error
    return record


def _key(name: str) -> str:
    return f"models/{name}.json"
