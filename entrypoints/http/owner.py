"""Whose tasks a request is about. Routes receive a TodoList and never see a user id."""

from typing import Annotated

from fastapi import Depends, Path, Request

from application.todo_list import TodoList
from domain.ownership import acting_as
from domain.values import UserId
from entrypoints.http.context import context, services


def _caller(request: Request) -> UserId:
    caller = context(request.scope).caller
    assert caller is not None, "authentication lets nothing under /api pass without a caller"
    return caller


async def _own_list(request: Request) -> TodoList:
    return services(request).todo_list(_caller(request))


async def _list_of(
    request: Request, user_id: Annotated[str, Path(description="The caller's own user id.", examples=["u1"])]
) -> TodoList:
    return services(request).todo_list(acting_as(user_id, caller=_caller(request)))


OwnList = Annotated[TodoList, Depends(_own_list)]
"""The caller's to-do list."""

ListOfUser = Annotated[TodoList, Depends(_list_of)]
"""The to-do list of the user in the path, who must be the caller. Raises NotYours."""
