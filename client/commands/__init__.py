"""The commands of `fsd`, a module per group; each has `add_commands(subparsers)`."""

from client.commands import after, bench, chaos, cloud, doctor, models, plan, runs, verify, zoo

COMMANDS = (cloud, doctor, models, runs, after, plan, verify, zoo, bench, chaos)

__all__ = ["COMMANDS"]
