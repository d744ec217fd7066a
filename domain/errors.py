"""Every failure that a caller may expect. Any other exception is a bug."""


class DomainError(Exception):
    """Root of the tree."""


class InvalidValue(DomainError, ValueError):
    """A value breaks a rule. `field` names it; the message states the rule and never repeats the value.

    Also a ValueError, so that a parser which collects the errors of several fields collects this one.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NotAuthenticated(DomainError):
    """The caller's identity is not established."""


class CredentialsMissing(NotAuthenticated):
    """The caller sent no credentials."""


class CredentialsExpired(NotAuthenticated):
    """The credentials were valid once; the caller needs fresh ones."""


class WrongCredentialType(NotAuthenticated):
    """The credentials are of another kind than the one accepted here; the message says what to send instead."""


class AnonymousCaller(WrongCredentialType):
    """The credentials are valid, and belong to a visitor who is not signed in."""


class IdentityUnavailable(DomainError):
    """Credentials cannot be verified at the moment; the same call may succeed later."""


class NotYours(DomainError):
    """The caller asked to act as another user."""


class TaskNotFound(DomainError):
    """The owner has no such task. Another user's task and one that never existed are indistinguishable."""


class TaskChanged(DomainError):
    """The task is not in an expected version, and was left unchanged."""


class ListChanged(DomainError):
    """The owner's tasks are not exactly the expected ones, and were left unchanged."""


class KeyReused(DomainError):
    """The idempotency key was already used for a different task."""


class TooManyRequests(DomainError):
    """The caller has so many calls waiting that this one was refused, without effect."""


class QuotaExceeded(DomainError):
    """The owner has as many tasks as one user may have."""


class StorageUnavailable(DomainError):
    """Tasks cannot be reached at the moment; the same call may succeed later."""
