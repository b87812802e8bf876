"""Which errors are the user's to mend (one line, status 2), which are a run's (1), and which are bugs (traceback)."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError
from botocore.exceptions import ClientError as AwsError

from bundle.errors import BundleError
from client.api import RunFailed
from client.errors import ClientError
from costs.errors import CostError
from partition.errors import CompileError
from runs.errors import BadRequest, BudgetTooSmall, ModelNotFound, QuotaTooSmall, RunError
from zoo.errors import ZooError

# A machine without enough memory is one to be mended by the user, too.
_USER = (ClientError, BundleError, CompileError, CostError, RunError, ZooError, AwsError, BotoCoreError, MemoryError)
_CALLERS_FAULT = {BadRequest.code, BudgetTooSmall.code, ModelNotFound.code, QuotaTooSmall.code}


def exit_status(error: BaseException) -> int | None:
    """2 for a wrong call, 1 for a run that failed, None for a bug."""
    if isinstance(error, RunFailed):
        return 2 if error.error.get("type") in _CALLERS_FAULT else 1
    return 2 if isinstance(error, _USER) else None


def one_line(error: BaseException) -> str:
    """The message without line breaks or control characters, whatever a name in it holds."""
    text = f"not enough memory: {error}" if isinstance(error, MemoryError) else str(error)
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))
