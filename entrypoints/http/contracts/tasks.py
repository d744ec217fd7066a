"""Contract 1, `/api/tasks`: the owner is the token's subject."""

from typing import Annotated

from fastapi import Depends, Request
from pydantic import Field
from starlette.responses import Response

from domain.task import Changes, Draft
from domain.values import Description, Title
from entrypoints.http.contract import Contract
from entrypoints.http.etags import IfMatch, IfNoneMatch, Preconditions, or_not_modified
from entrypoints.http.json_body import JsonBody
from entrypoints.http.list_query import Listing
from entrypoints.http.openapi import CHANGE, CONFIRMED, CREATE, DELETE, DELETE_ALL, LIST, READ
from entrypoints.http.owner import OwnList
from entrypoints.http.parameters import All, Id, Key
from entrypoints.http.representation import (
    AGREEING,
    CHANGES_EXAMPLE,
    COMPLETION_EXAMPLE,
    NEW_EXAMPLE,
    OURS,
    TEXT,
    Completion,
    Deleted,
    TaskBody,
    changes,
    draft,
)
from entrypoints.http.responses import created_response, delete_all, list_response, task_response

CONTRACT = Contract("/api/tasks", "The owner is the token's subject.")
router = CONTRACT.router()


class ShortTitle(Title):
    LONGEST = 200


class ShortDescription(Description):
    LONGEST = 1000


class _TaskDetails(Completion, total=False):
    description: Annotated[Annotated[ShortDescription, TEXT] | None, Field(examples=["Two litres"])]


class TaskChanges(_TaskDetails, total=False):
    """Members that are sent are changed; the others keep their value."""

    title: Annotated[ShortTitle, TEXT, Field(examples=["Buy milk"])]


class NewTask(_TaskDetails):
    """A task to create."""

    __pydantic_config__ = AGREEING  # type: ignore[misc]

    title: Annotated[ShortTitle, TEXT, Field(examples=["Buy milk"])]


New = Annotated[Draft, Depends(JsonBody(NewTask, draft, example=NEW_EXAMPLE, ours=OURS))]
Changed = Annotated[Changes, Depends(JsonBody(TaskChanges, changes, example=CHANGES_EXAMPLE, ours=OURS))]
Completed = Annotated[Changes, Depends(JsonBody(Completion, changes, example=COMPLETION_EXAMPLE, required=False))]


@router.post("", status_code=201, response_model=TaskBody, responses=CREATE, summary="Create a task")
async def create_task(request: Request, todo: OwnList, key: Key, new: New) -> Response:
    return created_response(await todo.create(new, key), request)


@router.get("", response_model=list[TaskBody], responses=LIST, summary="List tasks")
async def list_tasks(request: Request, todo: OwnList, query: Listing, if_none_match: IfNoneMatch) -> Response:
    """All tasks in order of creation, unless the query says otherwise."""
    return await list_response(todo, query, request, if_none_match)


@router.get("/{id}", response_model=TaskBody, responses=READ, summary="Get a task")
async def get_task(todo: OwnList, task_id: Id, if_none_match: IfNoneMatch) -> Response:
    return or_not_modified(task_response(await todo.get(task_id)), if_none_match)


@router.put("/{id}", response_model=TaskBody, responses=CHANGE, operation_id="put_task", summary="Edit a task")
@router.patch("/{id}", response_model=TaskBody, responses=CHANGE, operation_id="patch_task", summary="Edit a task")
async def edit_task(todo: OwnList, task_id: Id, expected: Preconditions, sent: Changed) -> Response:
    """PUT and PATCH do the same here: members that are sent change, the others keep their value."""
    return task_response(await todo.edit(task_id, sent, expected))


@router.patch("/{id}/complete", response_model=TaskBody, responses=CHANGE, summary="Complete a task")
async def complete_task(todo: OwnList, task_id: Id, expected: Preconditions, sent: Completed) -> Response:
    """Without a body: toggles. With a body: sets the flag, which is safe to retry."""
    return task_response(await (todo.edit(task_id, sent, expected) if sent else todo.toggle(task_id, expected)))


@router.delete("", response_model=Deleted, responses=DELETE_ALL, openapi_extra=CONFIRMED, summary="Delete all tasks")
async def delete_tasks(_: All, todo: OwnList, if_match: IfMatch) -> Response:
    """All tasks of the caller, and only with `all=true`. If it fails, some may be deleted; it may be repeated."""
    return await delete_all(todo, if_match)


@router.delete("/{id}", status_code=204, responses=DELETE, summary="Delete a task")
async def delete_task(todo: OwnList, task_id: Id, expected: Preconditions) -> Response:
    await todo.delete(task_id, expected)
    return Response(status_code=204)
