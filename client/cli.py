"""The `fsd` command. One module of client.commands per group of commands; here are only parsing and exit status.

Exit status: 0 done, 1 the run failed or a check did not hold, 2 the call was wrong or nothing could be done; one line
on stderr says why.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from client.commands import COMMANDS


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    root = argparse.ArgumentParser(prog="fsd", description="Serve ONNX models on nothing but serverless parts.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_commands(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit status."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    except Exception as error:
        from client.outcome import exit_status, one_line

        status = exit_status(error)
        if status is None:
            raise
        print(f"fsd: {one_line(error)}", file=sys.stderr)
        return status


if __name__ == "__main__":
    sys.exit(main())
