"""What can go wrong on the user's side. Every message is one line: what, where, expected, got."""

from __future__ import annotations


class ClientError(Exception):
    """Root of the client's errors: `fsd` prints the message and exits with status 2."""


class CloudError(ClientError):
    """The cloud cannot be reached or used: start it, or deploy, then try again."""


class UsageError(ClientError):
    """The call's own words are wrong: it has to be said differently."""
