"""The errors that a person is meant to read. Each message says what happened, where, and what to do."""


class ClicklakeError(Exception):
    """Base of every expected failure: shown as its message alone, never as a traceback."""


class SettingsError(ClicklakeError):
    """A setting is missing, unknown or unsafe; nothing was started."""


class SourceError(ClicklakeError):
    """The place the logs come from cannot be used: no such bucket or folder, no permission, wrong keys."""


class PartitionError(ClicklakeError):
    """One partition cannot be taken in: it is refused, and the others go on.

    objects: what is wrong with those of its objects that are known to be the reason.
    """

    def __init__(self, message: str, objects: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.objects = objects or {}


class LakeError(ClicklakeError):
    """The lake cannot be read or written: disk full, no permission, no such bucket."""


class ReadWholeError(Exception):
    """Why the further objects of a partition alone would not give what a whole reading gives. Caught where both ways
    are known."""


class PublishError(ClicklakeError):
    """A target, such as MongoDB, cannot be reached, refused the login, or does not hold what was written."""


class TransientError(ClicklakeError):
    """Worth another try: throttling, a cut connection, a server that is down for a moment."""


class ObjectChangedError(TransientError):
    """An object is not what the listing said: it has gone, or has changed. List the day again."""


class TransientLakeError(LakeError, TransientError):
    """The lake's S3 throttles, is out of reach, or broke a connection."""


class TransientPublishError(PublishError, TransientError):
    """A target cannot be reached, or takes nothing, for a moment, such as a MongoDB without a primary."""
