"""Errors that a user can fix. Each message is one line, and each class has an exit code for the command line.

A message names the thing, what was found, what was expected, and the remedy:

    training_K.json: 32,559 entries, expected 32,560; the download is incomplete, so get FreiHAND_pub_v2.zip again
"""


class HifihrError(Exception):
    """Base class of errors that a user can fix; `exit_code` is the exit code of the command line."""

    exit_code = 1


class FindingsError(HifihrError):
    """The work was done, but its result is negative: no hand was found, a check failed, or a score is out of bounds."""

    exit_code = 1


class ConfigError(HifihrError):
    """A wrong option, setting or preset."""

    exit_code = 2


class DataError(HifihrError):
    """A dataset, shard, photo or prediction file that is missing or broken."""

    exit_code = 3


class AssetError(HifihrError):
    """A hand model, checkpoint or weight file that is missing, broken or untrusted."""

    exit_code = 3


class UnsafePickleError(AssetError):
    """A pickle that requests a name outside the allow-list; nothing in it was run."""


class DeviceError(HifihrError):
    """A device or rendering back end that is not available."""

    exit_code = 5
