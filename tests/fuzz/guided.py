"""The same targets, guided by coverage: atheris mutates what reaches new code. `pip install atheris` first.

python -m tests.fuzz.guided TARGET [SECONDS]: ends with libFuzzer's report; what broke something is kept in a file.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

DEFAULT_S = 60
PACKAGES = ["bundle", "channels", "engine", "partition", "runs"]


def main(words: list[str]) -> None:
    """Fuzz one target; does not return, as libFuzzer ends the process."""
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=PACKAGES):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[words[0]]
    seconds = int(words[1]) if len(words) > 1 else DEFAULT_S
    corpus = Path(tempfile.mkdtemp(prefix="fsd-fuzz-"))
    for number, seed in enumerate(target.seeds()):
        (corpus / str(number)).write_bytes(seed)

    def check(data: bytes) -> None:
        target.check(data)
        if target.mend and len(data) > 40:
            target.check(target.mend(data))

    options = [f"-max_total_time={seconds}", "-rss_limit_mb=1024", "-timeout=20", f"-artifact_prefix={corpus}/"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
