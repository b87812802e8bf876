"""Looks a deployed stage over: facts as its functions see them and as this machine does, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from botocore.exceptions import ClientError as AwsError

from client.delivery import invoke
from client.errors import CloudError
from client.target import Stage
from runs.checkup import package_versions
from runs.objects import Objects

# What may differ between compiling here and running there without a change of answers.
_EXACT = ("numpy", "onnxruntime")


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    level: `error` where requests fail by it, `warning` where they may.
    what, do: what is wrong, and what to do about it; one line each.
    """

    level: str
    what: str
    do: str


@dataclass(frozen=True)
class Checkup:
    """A stage looked over: `facts` as JSON, `findings` worst first."""

    facts: Mapping[str, Any]
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.level == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**self.facts, "healthy": self.healthy, "findings": [asdict(finding) for finding in self.findings]}


def examine(stage: Stage) -> Checkup:
    """Ask the stage's `infer`, look at its bucket, and judge both.

    Raises:
        CloudError: the cloud cannot be reached.
    """
    seen, cause = invoke(stage, "infer", {"doctor": True})
    if seen is None or "quota" not in seen:
        why = cause or str((seen or {}).get("error") or "no answer")
        wrong = Finding("error", f"infer does not answer: {why}", f"look at `sls logs -f infer --stage {stage.name}`")
        return Checkup({"stage": stage.name}, (wrong,))
    quota, ranks = int(seen["quota"]), int(seen["ranks_per_lane"])
    facts = {
        "stage": stage.name,
        **{
            name: seen[name]
            for name in (
                "quota",
                "lanes",
                "ranks_per_lane",
                "memory_mb",
                "line",
                "channel",
                "express_bucket",
                "runtime",
            )
        },
        "largest_workers": {"queue": min(quota, ranks), "object": quota},
        "versions": {"functions": seen["versions"], "here": package_versions()},
        "bucket": bucket_settings(stage),
        "dead_letters": _count_dead(stage),
    }
    return Checkup(facts, tuple(sorted(judge(facts), key=lambda finding: finding.level)))


def judge(facts: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with these facts."""
    return [*_capacity(facts), *_lanes(facts), *_versions(facts), *_bucket(facts), *_failures(facts)]


def _capacity(facts: Mapping[str, Any]) -> list[Finding]:
    found, quota, ranks = [], facts["quota"], facts["ranks_per_lane"]
    if quota < 2:
        what = f"the account runs {quota} functions at once: no run of several workers can start"
        found.append(Finding("error", what, "ask for more: Service Quotas, Lambda, Concurrent executions"))
    elif quota < ranks * len(facts["lanes"]):
        what = (
            f"the account runs {quota} functions at once, {len(facts['lanes'])} lanes of {ranks} ranks could use more"
        )
        found.append(Finding("warning", what, "ask for more, or keep to runs that fit: see largest_workers"))
    channel = facts["channel"]
    if channel["age_s"] < channel["filter_delay_s"]:
        left = channel["filter_delay_s"] - channel["age_s"]
        what = f"the stack is young: its topics are not trusted to filter for another {left:.0f} s"
        found.append(Finding("warning", what, "messages go to the queues directly until then; nothing to do"))
    return found


def _lanes(facts: Mapping[str, Any]) -> list[Finding]:
    expired = [lane for lane in facts["lanes"] if lane["state"] == "expired"]
    found = [
        Finding("warning", f"lane {lane['lane']}: run {lane['run_id']} died and held it", "the next run takes it")
        for lane in expired
    ]
    if facts["line"]:
        what = f"{facts['line']} asynchronous runs wait for a lane"
        found.append(Finding("warning", what, "wait, or deploy with more lanes: --param lanes=N"))
    return found


def _versions(facts: Mapping[str, Any]) -> list[Finding]:
    there, here = facts["versions"]["functions"], facts["versions"]["here"]
    return [
        Finding("warning", f"{name} is {there[name]} in the functions and {here[name]} here", "run `sls deploy` again")
        for name in _EXACT
        if there[name] and here[name] and there[name] != here[name]
    ]


def _bucket(facts: Mapping[str, Any]) -> list[Finding]:
    wanted = {
        "encryption": ("error", "objects are not encrypted by default"),
        "public_access_blocked": ("error", "public access is not blocked"),
        # The embedded cloud, which ends soon, does not take over the template's rules.
        "runs_expire": ("warning", "runs/ does not expire: results pile up"),
    }
    return [
        Finding(level, f"bucket: {what}", "run `sls deploy` again: the template sets it")
        for name, (level, what) in wanted.items()
        if not facts["bucket"][name]
    ]


def _failures(facts: Mapping[str, Any]) -> list[Finding]:
    count = facts["dead_letters"]
    return [Finding("warning", f"{count} runs failed for good", "`fsd retry` lists them")] if count else []


def bucket_settings(stage: Stage) -> dict[str, Any]:
    """Name of the stage's bucket, and what the template sets on it."""
    s3, bucket = stage.s3, stage.bucket

    def blocked() -> bool:
        return all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())

    def encryption() -> str:
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        return str(rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"])

    def expires() -> bool:
        rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        return any(str(_prefix(rule)).startswith("runs/") and rule["Status"] == "Enabled" for rule in rules)

    return {
        "name": bucket,
        "encryption": _or_unset(encryption, ""),
        "public_access_blocked": _or_unset(blocked, False),
        "runs_expire": _or_unset(expires, False),
    }


def _prefix(rule: Any) -> object:
    return rule.get("Prefix") or rule.get("Filter", {}).get("Prefix", "")


def _or_unset(read: Callable[[], Any], unset: object) -> Any:
    """A setting, or `unset` where S3 answers that there is none."""
    try:
        return read()
    except AwsError as error:
        if "NoSuch" in str(error) or "NotFound" in str(error):
            return unset
        raise CloudError(f"bucket settings cannot be read: {error}") from error


def _count_dead(stage: Stage) -> int:
    return sum(len(page) for page in Objects(stage.s3, stage.bucket).keys("dead/"))
