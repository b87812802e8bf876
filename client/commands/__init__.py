"""The commands of `fsd`, a module per group; each has `add_commands(subparsers)`."""

from client.commands import bench, chaos, cloud, models, runs, verify, zoo

COMMANDS = (cloud, models, runs, verify, zoo, bench, chaos)

__all__ = ["COMMANDS"]
