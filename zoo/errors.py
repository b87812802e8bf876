"""What can go wrong with the zoo; a subclass says what the caller can do about it. Every message is one line."""

from __future__ import annotations


class ZooError(Exception):
    """Root of every error that the zoo raises on purpose."""


class UnknownCard(ZooError):
    """No card has this name: choose a known one, or install the plugin that has it."""


class OptionError(ZooError):
    """An option, or a number of examples, is wrong: change the request."""


class DataError(ZooError):
    """Files that the user pointed at are missing or not what they should be: mend the files."""


class SourceError(ZooError):
    """The model that was named cannot be had: name another, or see that its source can be reached."""


class TooLarge(ZooError):
    """The model does not fit the file format or the disk: ask for a smaller one, or make room."""


class PluginError(ZooError):
    """A plugin cannot be used: mend or remove the distribution that the message names."""


class PluginWarning(UserWarning):
    """A plugin was left out; everything else works."""
