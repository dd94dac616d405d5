"""The errors that users read. Each message says what happened, where, and what to do."""


class ClicklakeError(Exception):
    """Base class of every expected failure. Only its message is shown, never a traceback."""


class SettingsError(ClicklakeError):
    """A setting is missing, unknown or unsafe; nothing was started."""


class SourceError(ClicklakeError):
    """The source cannot be used: no such bucket or folder, no permission, wrong keys."""


class PartitionError(ClicklakeError):
    """One partition cannot be ingested. It is refused, and the other partitions go on.

    objects: object name → what is wrong with it, for the objects that are known to be the reason.
    """

    def __init__(self, message: str, objects: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.objects = objects or {}


class LakeError(ClicklakeError):
    """The lake cannot be read or written: disk full, no permission, no such bucket."""


class DamagedError(LakeError):
    """Files of the lake are not what was published: an upload came late, a publication was interrupted, or bytes have
    changed. What needs them is not built."""


class ReadWholeError(Exception):
    """Reading only the new objects of a partition would not give the result of a whole reading. The caller catches it
    and reads the partition whole."""


class PublishError(ClicklakeError):
    """A target, such as MongoDB, cannot be reached, refuses the login, or does not hold what was written."""


class TransientError(ClicklakeError):
    """An error that a retry may solve: throttling, a broken connection, a server that is down for a moment."""


class ObjectChangedError(TransientError):
    """An object differs from its listing: it has gone or has changed. List the day again."""


class TransientLakeError(LakeError, TransientError):
    """The lake's S3 throttles, cannot be reached, or broke a connection."""


class OvertakenError(TransientLakeError):
    """Another run has written a file since this run looked at it. Nothing was overwritten."""


class TransientPublishError(PublishError, TransientError):
    """A target cannot be reached or accepts no writes for a moment, such as a MongoDB without a primary."""
