"""What is off by default: a KMS key of the user's own, a function URL."""

from __future__ import annotations

import json

import pytest

from tests.deploy.packaging import Package, make_package

KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture(scope="module")
def opted(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package with both."""
    return make_package(tmp_path_factory.mktemp("opted"), "aws", parameters=(f"kmsKeyArn={KEY}", "functionUrl=iam"))


def test_everything_that_keeps_data_uses_the_key(opted: Package) -> None:
    buckets = opted.resources("AWS::S3::Bucket")
    assert json.dumps(buckets["Bucket"]["Properties"]["BucketEncryption"]).count(KEY) == 1
    queues, topics = opted.properties("AWS::SQS::Queue"), opted.properties("AWS::SNS::Topic")
    assert len(queues) >= 32
    assert {item["KmsMasterKeyId"] for item in (*queues, *topics)} == {KEY}
    # SQS refuses a queue with both.
    assert not any("SqsManagedSseEnabled" in queue for queue in queues)


def test_every_role_may_use_that_key_and_no_other(opted: Package) -> None:
    for role in opted.properties("AWS::IAM::Role"):
        (policy,) = role["Policies"]
        (use,) = [item for item in policy["PolicyDocument"]["Statement"] if "kms:" in json.dumps(item["Action"])]
        assert use == {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": [KEY]}


def test_without_a_key_nothing_speaks_of_kms(aws_package: Package) -> None:
    assert "kms:" not in json.dumps(aws_package.template["Resources"])
    assert all(queue["SqsManagedSseEnabled"] for queue in aws_package.properties("AWS::SQS::Queue"))


def test_the_function_url_is_for_those_who_sign(opted: Package) -> None:
    (url,) = opted.properties("AWS::Lambda::Url")
    assert url["AuthType"] == "AWS_IAM"
    assert url["TargetFunctionArn"]["Fn::GetAtt"][0] == "InferLambdaFunction"
    assert not any(permission.get("FunctionUrlAuthType") == "NONE" for permission in _permissions(opted))


def test_there_is_no_function_url_unless_asked_for(aws_package: Package) -> None:
    assert aws_package.resources("AWS::Lambda::Url") == {}
    assert not any("Url" in json.dumps(permission) for permission in _permissions(aws_package))


def _permissions(package: Package) -> list[dict[str, object]]:
    return package.properties("AWS::Lambda::Permission")
