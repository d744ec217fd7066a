"""Every failure that a caller may expect. Anything else that is raised is a defect."""


class DomainError(Exception):
    """The root of the tree."""


class InvalidValue(DomainError, ValueError):
    """A value breaks a rule; `field` says which one, the message says what the rule is and never repeats the value.

    A ValueError too, so that a parser which collects the faults of several fields collects these.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NotAuthenticated(DomainError):
    """Nobody is known to be calling."""


class CredentialsMissing(NotAuthenticated):
    """The caller sent none."""


class CredentialsExpired(NotAuthenticated):
    """They were good once; the caller needs fresh ones."""


class SessionTokenSent(NotAuthenticated):
    """A session token came where a signed token is needed; the message says where to get one."""


class IdentityUnavailable(DomainError):
    """Nobody can tell now who is calling; the same call may succeed later."""


class NotYours(DomainError):
    """The caller asked to act as somebody else."""


class TaskNotFound(DomainError):
    """The owner has no such task. Somebody else's task and one that never was are the same answer."""


class TaskChanged(DomainError):
    """The task is no longer what the caller has seen, and was left as it is."""


class KeyReused(DomainError):
    """The idempotency key was sent before, with another task."""


class StorageUnavailable(DomainError):
    """The tasks cannot be reached now; the same call may succeed later."""
