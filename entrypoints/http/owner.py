"""Whose tasks a request is about. Routes are handed a list of things to do and never see a user id."""

from typing import Annotated

from fastapi import Depends, Path, Request

from application.todo_list import TodoList
from domain.ownership import acting_as
from domain.values import UserId


def _my_list(request: Request) -> TodoList:
    return _list(request, request.state.caller)


def _list_of(
    request: Request, user_id: Annotated[str, Path(description="The caller's own id.", examples=["u1"])]
) -> TodoList:
    return _list(request, acting_as(user_id, caller=request.state.caller))


def _list(request: Request, owner: UserId) -> TodoList:
    todo_list: TodoList = request.app.state.todo_list(owner=owner)
    return todo_list


MyList = Annotated[TodoList, Depends(_my_list)]
"""The caller's own: contract 1."""

ListOfUser = Annotated[TodoList, Depends(_list_of)]
"""The one that the address names, which must be the caller's own: contract 2."""
