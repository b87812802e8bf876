"""The CloudFormation template: what it allows, and what is set on each resource."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channels.receive import DELETE_S
from runs.drain import AGAIN_S
from tests.deploy.no_stack import account_without_stacks
from tests.deploy.packaging import Package, copy_checkout, run_sls

MAX_RESOURCES = 450
# AWS knows no narrower resource for it (Service Authorization Reference, AWS Lambda).
ANY = "lambda:GetAccountSettings"


def words(value: Any) -> list[Any]:
    """A policy's one or many."""
    return value if isinstance(value, list) else [value]


def statements(package: Package, kind: str, *path: str) -> Iterator[dict[str, Any]]:
    """The statements of every policy document of one resource type."""
    for properties in package.properties(kind):
        documents = [properties[path[0]]] if len(path) == 1 else [item[path[1]] for item in properties[path[0]]]
        for document in documents:
            yield from document["Statement"]


def role_statements(package: Package) -> list[dict[str, Any]]:
    """What the functions' roles allow."""
    return list(statements(package, "AWS::IAM::Role", "Policies", "PolicyDocument"))


def function(package: Package, name: str) -> tuple[str, dict[str, Any]]:
    """A function's logical id and properties."""
    items = package.resources("AWS::Lambda::Function").items()
    (found,) = [
        (id, item["Properties"]) for id, item in items if item["Properties"]["FunctionName"].endswith(f"-{name}")
    ]
    return found


def asynchronous_settings(package: Package, name: str) -> dict[str, Any]:
    """A function's settings for asynchronous invocations."""
    id, _ = function(package, name)
    (found,) = [p for p in package.properties("AWS::Lambda::EventInvokeConfig") if p["FunctionName"] == {"Ref": id}]
    return dict(found)


def test_roles_name_each_action(aws_package: Package) -> None:
    actions = [action for statement in role_statements(aws_package) for action in words(statement["Action"])]
    assert actions
    assert [action for action in actions if "*" in action] == []
    assert not any("NotAction" in statement or "NotResource" in statement for statement in role_statements(aws_package))


def test_roles_name_each_resource_where_aws_has_one(aws_package: Package) -> None:
    free = [statement for statement in role_statements(aws_package) if "*" in words(statement["Resource"])]
    assert {action for statement in free for action in words(statement["Action"])} <= {ANY}


def test_roles_reach_only_what_is_named_after_the_stage(aws_package: Package) -> None:
    ours = ("fsd-inference-dev-", "Bucket", "FailureTopic", "LineQueue")
    for statement in role_statements(aws_package):
        for resource in words(statement["Resource"]):
            assert resource == "*" or any(name in json.dumps(resource) for name in ours)


def test_each_function_has_a_role_of_its_own_that_only_lambda_may_assume(aws_package: Package) -> None:
    roles = [item["Role"]["Fn::GetAtt"][0] for item in aws_package.properties("AWS::Lambda::Function")]
    assert len(roles) == 4
    assert set(roles) == aws_package.resources("AWS::IAM::Role").keys()
    for role in aws_package.properties("AWS::IAM::Role"):
        assert "ManagedPolicyArns" not in role
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_workers_start_no_function(aws_package: Package) -> None:
    policies = aws_package.template["Resources"]["WorkerRole"]["Properties"]["Policies"]
    assert "lambda:" not in json.dumps([policy["PolicyDocument"] for policy in policies]).replace("aws/lambda", "")


@pytest.mark.parametrize(
    ("kind", "actions"), [("AWS::S3::BucketPolicy", {"s3:*"}), ("AWS::SQS::QueuePolicy", {"sqs:SendMessage"})]
)
def test_resource_policies_open_nothing(aws_package: Package, kind: str, actions: set[str]) -> None:
    # A bucket's "*" denies: plain HTTP to everybody, as osls' own bucket policy does. A queue's allows its topics only.
    found = list(statements(aws_package, kind, "PolicyDocument"))
    assert {action for statement in found for action in words(statement["Action"])} == actions
    for statement in found:
        if statement["Effect"] == "Deny":
            assert statement["Condition"]["Bool"]["aws:SecureTransport"] in (False, "false")
        else:
            assert statement["Principal"] == {"Service": "sns.amazonaws.com"}
            assert statement["Condition"]["ArnEquals"]["aws:SourceArn"]
            named = json.dumps(statement["Resource"])
            assert "*" not in named.replace("-slot-*", ""), "no queues but those of a lane"


def test_every_topics_policy_leaves_it_to_iam(aws_package: Package) -> None:
    # Without one, SNS lets every principal of the account publish and subscribe.
    policies = aws_package.properties("AWS::SNS::TopicPolicy")
    assert {topic["Ref"] for p in policies for topic in p["Topics"]} == aws_package.resources("AWS::SNS::Topic").keys()
    for statement in statements(aws_package, "AWS::SNS::TopicPolicy", "PolicyDocument"):
        assert statement["Action"] == "sns:Publish"
        assert statement["Principal"]["AWS"]["Fn::Sub"].endswith("${AWS::AccountId}:root")
        assert "Ref" in statement["Resource"]


def test_only_infer_asks_for_the_accounts_limits(aws_package: Package) -> None:
    resources = aws_package.template["Resources"]
    roles = [name for name, item in resources.items() if item["Type"] == "AWS::IAM::Role" and ANY in json.dumps(item)]
    assert roles == ["InferRole"]


def test_buckets_are_private_encrypted_and_refuse_plain_http(aws_package: Package) -> None:
    buckets = aws_package.resources("AWS::S3::Bucket")
    assert len(buckets) == 2
    for item in buckets.values():
        assert set(item["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
        (rule,) = item["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in ("AES256", "aws:kms")
    guarded = {policy["Bucket"]["Ref"] for policy in aws_package.properties("AWS::S3::BucketPolicy")}
    assert guarded == buckets.keys()


def test_plain_http_is_refused_on_aws_and_let_through_on_the_embedded_cloud(
    aws_package: Package, local_package: Package
) -> None:
    def holds(package: Package) -> bool:
        name = package.template["Resources"]["BucketPolicy"].get("Condition")
        if name is None:
            return True
        left, right = package.template["Conditions"][name]["Fn::Equals"]
        return bool(left == right)

    assert holds(aws_package)
    assert not holds(local_package)


def test_only_what_belongs_to_a_run_expires(aws_package: Package) -> None:
    rules = aws_package.template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}
    assert expiring == {"runs/": 7, "dead/": 7}
    assert any(rule.get("AbortIncompleteMultipartUpload") for rule in rules)


def test_a_worker_is_never_started_twice_and_its_death_is_reported(aws_package: Package) -> None:
    settings = asynchronous_settings(aws_package, "worker")
    assert settings["MaximumRetryAttempts"] == 0
    assert 60 <= settings["MaximumEventAgeInSeconds"] <= 120
    assert settings["DestinationConfig"]["OnFailure"]["Destination"] == {"Ref": "FailureTopic"}


@pytest.mark.parametrize("name", ["register", "models"])
def test_lambda_repeats_no_function_by_itself(aws_package: Package, name: str) -> None:
    assert asynchronous_settings(aws_package, name)["MaximumRetryAttempts"] == 0


def test_lambda_repeats_infer_and_tells_it_what_it_gives_up(aws_package: Package) -> None:
    settings = asynchronous_settings(aws_package, "infer")
    assert settings["MaximumRetryAttempts"] == 2
    assert "InferLambdaFunction" in json.dumps(settings["DestinationConfig"]["OnFailure"])
    assert aws_package.template["Resources"]["InferLambdaFunction"]["Properties"]["RecursiveLoop"] == "Allow"


def test_the_line_calls_infer_one_run_at_a_time(aws_package: Package) -> None:
    (mapping,) = aws_package.properties("AWS::Lambda::EventSourceMapping")
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": ["LineQueue", "Arn"]}
    assert mapping["BatchSize"] == 1
    queue = aws_package.template["Resources"]["LineQueue"]["Properties"]
    timeout = aws_package.template["Resources"]["InferLambdaFunction"]["Properties"]["Timeout"]
    assert queue["VisibilityTimeout"] >= timeout


def test_what_a_dead_process_had_received_is_visible_when_its_lane_is_emptied_again(aws_package: Package) -> None:
    lanes = [queue for queue in aws_package.properties("AWS::SQS::Queue") if "-lane-" in str(queue["QueueName"])]
    assert lanes
    assert all(2 * DELETE_S < queue["VisibilityTimeout"] < AGAIN_S for queue in lanes)


def test_a_dead_workers_record_reaches_rank_0_of_its_lane_only(aws_package: Package) -> None:
    found = [p for p in aws_package.properties("AWS::SNS::Subscription") if p["TopicArn"] == {"Ref": "FailureTopic"}]
    lanes = {p["Endpoint"]["Fn::GetAtt"][0]: p["FilterPolicy"]["requestPayload"]["lane"] for p in found}
    assert lanes == {"Lane0Queue0": [0], "Lane1Queue0": [1]}
    assert {p["FilterPolicyScope"] for p in found} == {"MessageBody"}


def test_every_rank_of_a_lane_has_a_queue_with_its_own_filter(aws_package: Package) -> None:
    found = [p for p in aws_package.properties("AWS::SNS::Subscription") if p["TopicArn"] == {"Ref": "Lane1Topic"}]
    slots = {p["Endpoint"]["Fn::GetAtt"][0]: p["FilterPolicy"] for p in found}
    assert slots == {f"Lane1Queue{slot}": {"slot": [str(slot)]} for slot in range(16)}
    assert {p["RawMessageDelivery"] for p in found} == {True}


def test_nothing_is_open_to_the_internet(aws_package: Package) -> None:
    kinds = {item["Type"] for item in aws_package.template["Resources"].values()}
    assert not kinds & {"AWS::Lambda::Url", "AWS::Lambda::Permission"}
    assert not any(kind.startswith("AWS::ApiGateway") for kind in kinds)


def test_functions_fit_a_new_account(aws_package: Package) -> None:
    for settings in aws_package.properties("AWS::Lambda::Function"):
        assert settings["MemorySize"] <= 3008
        assert settings["Timeout"] <= 900
        assert settings["Runtime"] == "python3.12"
        assert settings["Architectures"] == ["x86_64"]


def test_every_function_logs_to_a_group_that_expires(aws_package: Package) -> None:
    groups = {p["LogGroupName"]: p["RetentionInDays"] for p in aws_package.properties("AWS::Logs::LogGroup")}
    names = {p["FunctionName"] for p in aws_package.properties("AWS::Lambda::Function")}
    assert groups == {f"/aws/lambda/{name}": 14 for name in names}


def test_the_default_stack_fits_cloudformation(aws_package: Package) -> None:
    assert len(aws_package.template["Resources"]) < MAX_RESOURCES


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout to package with other parameters."""
    return copy_checkout(tmp_path_factory.mktemp("parameters"))


def package_with(checkout: Path, *parameters: str) -> subprocess.CompletedProcess[str]:
    """`sls package` with stage parameters."""
    with account_without_stacks() as (endpoint, _):
        return run_sls(
            checkout, "aws", endpoint, "package", *(word for text in parameters for word in ("--param", text))
        )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (("lanes=20", "ranks=16"), "lanes x ranks too large: 20 x 16 makes about 770 stack resources, at most 450 fit"),
        (("lanes=0",), "--param lanes: expected a whole number >= 1, got 0"),
        (("ranks=2.5",), "--param ranks: expected a whole number >= 1, got 2.5"),
        (("functionUrl=open",), "--param functionUrl: expected off or iam, got open"),
        (("kmsKeyArn=mine",), "--param kmsKeyArn: expected the ARN of a KMS key, got mine"),
        (("architecture=arm",), "--param architecture: expected x86_64 or arm64, got arm"),
    ],
)
def test_parameters_that_cannot_be_deployed_are_refused_in_one_line(
    checkout: Path, parameters: tuple[str, ...], message: str
) -> None:
    done = package_with(checkout, *parameters)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert [line for line in output.splitlines() if line.endswith(message)]
    assert "    at " not in output
