"""The hook that empties the bucket before `sls remove`: the embedded cloud deletes a full bucket, AWS refuses to."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from client.cloud import ROOT, CloudState, client_environment
from tests.deploy.clouds import connect, make_stack
from tests.deploy.packaging import copy_checkout, run_sls

PLUGIN = ROOT / "deploy" / "plugin.cjs"
EMPTY = ROOT / "deploy" / "empty.cjs"
STACK = "fsd-inference-emptied"


def node(program: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this folder in a bare node process."""
    inherited = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        ["node", str(Path(__file__).with_name(program)), *words],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def empty_fake(**content: Any) -> dict[str, Any]:
    """Empty a fake bucket with this content."""
    wanted = {"versions": [], "markers": [], "uploads": [], "refused": None, "bucket": "b"} | content
    done = node("fake_bucket.cjs", str(EMPTY), json.dumps(wanted))
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def entries(prefix: str, count: int) -> list[dict[str, str]]:
    """Listed objects, two versions of each key."""
    return [{"Key": f"{prefix}{i // 2}", "VersionId": f"v{i}"} for i in range(count)]


def test_versions_markers_and_unfinished_uploads_of_every_page_go() -> None:
    uploads = [{"Key": "u", "UploadId": str(i)} for i in range(5)]
    report = empty_fake(versions=entries("runs/", 5), markers=entries("gone/", 3), uploads=uploads)
    assert report["state"] == {"versions": [], "markers": [], "uploads": []}
    assert report["deleted"] == 13
    assert {bucket for _, bucket in report["calls"]} == {"b"}


def test_an_empty_bucket_is_only_listed() -> None:
    report = empty_fake()
    assert report["deleted"] == 0
    assert [method for method, _ in report["calls"]] == ["listObjectVersions", "listMultipartUploads"]


def test_a_directory_bucket_is_emptied_without_asking_for_versions() -> None:
    objects = [{"Key": f"runs/{i}"} for i in range(5)]
    report = empty_fake(bucket="b--use1-az4--x-s3", versions=objects, uploads=[{"Key": "u", "UploadId": "1"}])
    assert report["state"] == {"versions": [], "markers": [], "uploads": []}
    assert report["deleted"] == 6
    assert "listObjectVersions" not in [method for method, _ in report["calls"]]


def test_what_s3_refuses_to_delete_ends_the_removal_with_its_reason() -> None:
    report = empty_fake(versions=[{"Key": "kept", "VersionId": "1"}], refused="kept")
    assert report == {"error": "cannot empty bucket b: kept: AccessDenied no"}


def fill(s3: Any, bucket: str) -> None:
    """Leave two versions, a delete marker and an unfinished upload."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for data in (b"one", b"two"):
        s3.put_object(Bucket=bucket, Key="bundles/a", Body=data)
    s3.delete_object(Bucket=bucket, Key="bundles/a")
    s3.create_multipart_upload(Bucket=bucket, Key="bundles/b")


def remove_hook(cloud: CloudState, stack: str) -> subprocess.CompletedProcess[str]:
    """Run the plugin's hook before `sls remove` against the cloud."""
    return node("remove_hook.cjs", str(PLUGIN), stack, **client_environment(cloud))


def test_the_hook_before_removal_empties_the_stacks_bucket_and_no_other(cloud: CloudState) -> None:
    resources = {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "mine"}},
        "OtherBucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "other"}},
    }
    make_stack(cloud, STACK, resources)
    s3 = connect(cloud, "s3")
    fill(s3, "mine")
    s3.put_object(Bucket="other", Key="kept", Body=b"1")
    done = remove_hook(cloud, STACK)
    assert done.returncode == 0, done.stderr
    listed = s3.list_object_versions(Bucket="mine")
    assert "Versions" not in listed
    assert "DeleteMarkers" not in listed
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="mine")
    assert s3.list_objects_v2(Bucket="other")["KeyCount"] == 1


def test_a_stack_that_is_not_there_needs_no_emptying(cloud: CloudState) -> None:
    done = remove_hook(cloud, "fsd-inference-never")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_sls_remove_runs_the_hook_and_removes_the_stack(cloud: CloudState, tmp_path: Path) -> None:
    stage = "removed"
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "removed"}}
    deployments = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "removed-deployments"}}
    make_stack(cloud, f"fsd-inference-{stage}", {"Bucket": bucket, "ServerlessDeploymentBucket": deployments})
    fill(connect(cloud, "s3"), "removed")
    done = run_sls(copy_checkout(tmp_path), "aws", cloud.endpoint, "remove", "--verbose", stage=stage)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Emptied bucket removed: 4 objects and uploads" in done.stdout + done.stderr
    with pytest.raises(ClientError, match="does not exist"):
        connect(cloud, "cloudformation").describe_stacks(StackName=f"fsd-inference-{stage}")
