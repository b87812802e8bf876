"""The embedded cloud as a process: it starts once, is found again, and leaves nothing when it stops."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from client.cloud import ROOT, EmbeddedCloud, client_environment
from client.errors import CloudError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[EmbeddedCloud]:
    made = EmbeddedCloud(tmp_path / "cloud")
    yield made
    made.down()


def _group(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if os.getpgid(int(folder.name)) == pid and "Z" not in (folder / "stat").read_text().split(")")[1][:3]:
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def test_up_twice_is_one_cloud_and_down_leaves_no_process(cloud: EmbeddedCloud) -> None:
    state = cloud.up()
    assert cloud.up() == state
    assert EmbeddedCloud(cloud.folder).status() == state
    assert _group(state.pid) != []
    assert cloud.down() is True
    assert _group(state.pid) == []
    assert cloud.status() is None
    assert cloud.down() is False
    assert not (cloud.folder / "tmp").exists()


def test_it_listens_on_the_loopback_only(cloud: EmbeddedCloud) -> None:
    port = cloud.up().port
    listening = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].rsplit(":", 1)[1], 16) == port
    ]
    assert listening == [f"0100007F:{port:04X}"]


def test_two_clouds_share_nothing(cloud: EmbeddedCloud, tmp_path: Path) -> None:
    other = EmbeddedCloud(tmp_path / "other")
    try:
        states = [cloud.up(), other.up()]
        clients = [_s3(client_environment(state)) for state in states]
        clients[0].create_bucket(Bucket="only-here")
        assert [len(client.list_buckets()["Buckets"]) for client in clients] == [1, 0]
        other.down()
        assert cloud.status() == states[0]
    finally:
        other.down()


def test_a_state_file_of_a_dead_cloud_is_no_running_cloud(cloud: EmbeddedCloud) -> None:
    state = cloud.up()
    cloud.down()
    (cloud.folder / "cloud.json").write_text(json.dumps({"pid": os.getpid(), "port": 1, "functions_endpoint": ""}))
    assert cloud.status() is None
    with pytest.raises(CloudError, match="not running"):
        cloud.require()
    assert cloud.up().pid != state.pid


def test_iam_is_enforced(cloud: EmbeddedCloud) -> None:
    environment = client_environment(cloud.up())
    iam = _session(environment).client("iam", endpoint_url=environment["AWS_ENDPOINT_URL"])
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    nobody = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    with pytest.raises(iam.exceptions.ClientError, match="AccessDenied"):
        _s3(environment | nobody).list_buckets()


def test_a_port_that_is_taken_is_one_line(cloud: EmbeddedCloud) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(CloudError, match=r"did not start: see .*cloud\.log"):
            cloud.up(port=taken.getsockname()[1])
    assert cloud.status() is None


def test_the_environment_is_shell_that_evals(cloud: EmbeddedCloud) -> None:
    cloud.up()
    program = (
        "import client.commands.cloud as c; from client.cloud import EmbeddedCloud as E; from pathlib import Path;"
        f"c.EmbeddedCloud = lambda: E(Path({str(cloud.folder)!r})); from client.cli import main; main(['cloud', 'env'])"
    )
    script = f'eval "$({ROOT}/.venv/bin/python -c "$1")"; command -v sls; command -v fsd; printf %s "$AWS_ENDPOINT_URL"'
    done = subprocess.run(["sh", "-euc", script, "sh", program], capture_output=True, text=True, cwd=ROOT, check=True)
    sls, fsd, endpoint = done.stdout.split()
    assert sls == str(ROOT / "node_modules/.bin/sls")
    assert fsd == str(ROOT / ".venv/bin/fsd")
    assert endpoint == cloud.require().endpoint


def _session(environment: dict[str, str]) -> boto3.session.Session:
    return boto3.session.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )


def _s3(environment: dict[str, str]) -> S3Client:
    return _session(environment).client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"])
