"""What is off by default: a KMS key of the user's own, a function URL, a directory bucket of S3 Express One Zone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.deploy.no_stack import account_without_stacks
from tests.deploy.packaging import Package, copy_checkout, make_package, run_sls

KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture(scope="module")
def opted(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package with all of it."""
    parameters = (f"kmsKeyArn={KEY}", "functionUrl=iam", "expressZone=use1-az4")
    return make_package(tmp_path_factory.mktemp("opted"), "aws", parameters=parameters)


def test_everything_that_keeps_data_uses_the_key(opted: Package) -> None:
    buckets = opted.resources("AWS::S3::Bucket")
    assert json.dumps(buckets["Bucket"]["Properties"]["BucketEncryption"]).count(KEY) == 1
    (express,) = opted.properties("AWS::S3Express::DirectoryBucket")
    assert json.dumps(express["BucketEncryption"]).count(KEY) == 1
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


def test_the_directory_bucket_lies_in_the_zone_and_expires_what_a_crash_left(opted: Package) -> None:
    (bucket,) = opted.properties("AWS::S3Express::DirectoryBucket")
    assert (bucket["LocationName"], bucket["DataRedundancy"]) == ("use1-az4", "SingleAvailabilityZone")
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["Prefix"], rule["Status"], rule["ExpirationInDays"]) == ("runs/", "Enabled", 1)
    (policy,) = opted.properties("AWS::S3Express::BucketPolicy")
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "lifecycle.s3.amazonaws.com"}
    assert statement["Condition"]["StringEquals"]["aws:SourceAccount"] == {"Ref": "AWS::AccountId"}


def test_functions_that_exchange_may_use_the_directory_bucket_and_no_other(opted: Package) -> None:
    allowed = {}
    for name, role in opted.resources("AWS::IAM::Role").items():
        statements = role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        allowed[name] = [item for item in statements if "s3express" in json.dumps(item)]
    use = {
        "Effect": "Allow",
        "Action": ["s3express:CreateSession"],
        "Resource": [{"Fn::GetAtt": ["ExpressBucket", "Arn"]}],
    }
    assert allowed == {"InferRole": [use], "WorkerRole": [use], "RegisterRole": [], "ModelsRole": []}


def test_functions_are_told_of_the_directory_bucket(opted: Package, aws_package: Package) -> None:
    for package, bucket in ((opted, {"Ref": "ExpressBucket"}), (aws_package, "")):
        functions = package.properties("AWS::Lambda::Function")
        assert [item["Environment"]["Variables"]["FSD_EXPRESS_BUCKET"] for item in functions] == [bucket] * 4


def test_there_is_no_directory_bucket_unless_asked_for(aws_package: Package) -> None:
    assert "s3express" not in json.dumps(aws_package.template).lower()


@pytest.mark.parametrize("zone", ["us-east-1", "use1-az4--x-s3"])
def test_what_is_no_zone_is_refused_before_packaging(tmp_path: Path, zone: str) -> None:
    with account_without_stacks() as (endpoint, _):
        done = run_sls(copy_checkout(tmp_path), "aws", endpoint, "print", "--param", f"expressZone={zone}")
    assert done.returncode != 0
    assert "--param expressZone: expected off, or the id of an availability zone" in done.stdout + done.stderr


def _permissions(package: Package) -> list[dict[str, object]]:
    return package.properties("AWS::Lambda::Permission")
