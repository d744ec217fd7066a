"""What an HTTP contract is: its prefix, its statuses where they differ, and a router whose routes know it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from domain.errors import (
    DomainError,
    IdentityUnavailable,
    InvalidValue,
    KeyReused,
    NotAuthenticated,
    QuotaExceeded,
    StorageUnavailable,
    TooManyRequests,
)
from entrypoints.http.json_body import JsonBody
from entrypoints.http.openapi import errors
from entrypoints.http.parameters import idempotency_key
from entrypoints.http.problem import ERRORS, HTTP_ERRORS, UNHANDLED, ErrorSpec


@dataclass(frozen=True, eq=False)
class Contract:
    """Routes below one prefix for the caller's own tasks; the prefix is also their OpenAPI tag.

    `statuses`: failures whose HTTP status differs from the usual one (`problem.ERRORS`). `failures`: those that any of
    its routes may meet beyond the common ones.
    """

    prefix: str
    description: str
    statuses: Mapping[type[DomainError], int] = field(default_factory=dict)
    failures: tuple[type[DomainError], ...] = ()

    def router(self) -> APIRouter:
        """For the contract's routes. Their operation ids are the names of their functions."""
        return APIRouter(
            prefix=self.prefix,
            tags=[self.prefix],
            route_class=type("ContractRoute", (ContractRoute,), {"contract": self}),
            generate_unique_id_function=attrgetter("name"),
        )

    def error(self, failure: type[DomainError]) -> ErrorSpec:
        """How the failure is reported in this contract."""
        spec = ERRORS[failure]
        return replace(spec, status=self.statuses.get(failure, spec.status))


_UNAUTHENTICATED = tuple(kind for kind in ERRORS if issubclass(kind, NotAuthenticated))
_COMMON = (*_UNAUTHENTICATED, IdentityUnavailable, InvalidValue, TooManyRequests, StorageUnavailable)


class ContractRoute(APIRoute):
    """A route that knows its contract, and documents the errors and the body that follow from it. Runs as any other."""

    contract: Contract

    def __init__(self, path: str, endpoint: Callable[..., Any], **declared: Any) -> None:
        super().__init__(path, endpoint, **declared)
        calls = [part.call for part in self.dependant.dependencies]
        keyed = (KeyReused, QuotaExceeded) if idempotency_key in calls else ()  # only creations have keys
        specs = [*map(self.contract.error, (*_COMMON, *self.contract.failures, *keyed)), UNHANDLED]
        self.openapi_extra = {"security": [{"bearer": []}], **(self.openapi_extra or {})}
        for body in (call for call in calls if isinstance(call, JsonBody)):
            specs += [HTTP_ERRORS[408], HTTP_ERRORS[413], HTTP_ERRORS[415]]
            self.openapi_extra["requestBody"] = body.openapi()
        self.responses = {**errors(*specs), **self.responses}
