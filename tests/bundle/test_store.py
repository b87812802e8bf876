from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.response import StreamingBody
from botocore.stub import Stubber

from bundle.errors import BundleError, InvalidNameError, MissingKeyError, TooLargeError
from bundle.store import FolderStore, S3Store


def test_folder_keeps_lists_and_deletes_keys(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "new")
    store.put("a/b.json", b"1")
    store.put("a/b.json", b"2")
    store.put("ab", b"")
    source = tmp_path / "file"
    source.write_bytes(b"xyz")
    store.put_file("a/c/d", source)
    assert store.get("a/b.json") == b"2"
    assert (bytes(store.view("a/c/d")), bytes(store.view("ab"))) == (b"xyz", b"")
    assert store.list("") == ["a/b.json", "a/c/d", "ab"]
    assert store.list("a/") == ["a/b.json", "a/c/d"]
    store.delete(["a/b.json", "never/there"])
    assert store.list("a") == ["a/c/d", "ab"]


def test_key_that_is_not_there_is_missing(tmp_path: Path) -> None:
    FolderStore(tmp_path).put("a/b", b"")
    for key in ("c", "a", "a/b/c"):
        with pytest.raises(MissingKeyError, match=f"nothing under '{key}'"):
            FolderStore(tmp_path).get(key)


@pytest.mark.parametrize("key", ["", "/etc/passwd", "..", "a/../../b", "a//b", "a/.", "a\\b", "a\nb", "a/", "é", "a b"])
def test_key_that_could_leave_the_folder_is_refused(tmp_path: Path, key: str) -> None:
    store = FolderStore(tmp_path)
    for use in (store.get, store.view, lambda k: store.put(k, b""), lambda k: store.delete([k])):
        with pytest.raises(InvalidNameError):
            use(key)


def test_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(MissingKeyError):
        FolderStore(tmp_path / "store").get("link")


def test_more_than_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("a", bytes(11))
    assert len(store.get("a", 11)) == 11
    for read in (store.get, store.view):
        with pytest.raises(TooLargeError, match="expected at most 10 bytes under 'a', got 11"):
            read("a", 10)


@pytest.fixture
def s3() -> Any:
    return boto3.client(
        "s3",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 1}),
    )


def _body(data: bytes) -> dict[str, Any]:
    return {"Body": StreamingBody(io.BytesIO(data), len(data)), "ContentLength": len(data)}


def test_bucket_answers_with_the_objects_bytes(s3: Any) -> None:
    with Stubber(s3) as stub:
        stub.add_response("get_object", _body(b"abc"), {"Bucket": "b", "Key": "k"})
        assert S3Store(s3, "b").get("k") == b"abc"


def test_bucket_says_what_is_missing_or_too_large(s3: Any) -> None:
    with Stubber(s3) as stub:
        stub.add_client_error("get_object", "NoSuchKey", http_status_code=404)
        with pytest.raises(MissingKeyError, match="nothing under 'k' in bucket 'b'"):
            S3Store(s3, "b").get("k")
        stub.add_response("get_object", _body(bytes(5)))
        with pytest.raises(TooLargeError):
            S3Store(s3, "b").get("k", 4)


def test_bucket_lists_all_pages(s3: Any) -> None:
    pages: list[dict[str, Any]] = [
        {"Contents": [{"Key": "p/b"}], "IsTruncated": True, "NextContinuationToken": "t"},
        {"Contents": [{"Key": "p/a"}], "IsTruncated": False},
    ]
    with Stubber(s3) as stub:
        for page in pages:
            stub.add_response("list_objects_v2", page)
        assert S3Store(s3, "b").list("p/") == ["p/a", "p/b"]


def test_bucket_deletes_a_thousand_keys_at_a_time_and_reports_what_was_kept(s3: Any) -> None:
    with Stubber(s3) as stub:
        for size in (1000, 1):
            objects = [{"Key": f"k{i}"} for i in range(1000)][:size] if size == 1000 else [{"Key": "k1000"}]
            stub.add_response("delete_objects", {}, {"Bucket": "b", "Delete": {"Objects": objects, "Quiet": True}})
        S3Store(s3, "b").delete([f"k{i}" for i in range(1001)])
        stub.assert_no_pending_responses()
        stub.add_response("delete_objects", {"Errors": [{"Key": "k", "Code": "AccessDenied"}]})
        with pytest.raises(BundleError, match="'k': AccessDenied"):
            S3Store(s3, "b").delete(["k"])
