"""Contract 2, `/api/{user_id}/tasks`: the address names the owner, who must be the caller.

Invalid input is 400 here and unreachable storage 500: see `errors.STATUS_IN_USER_CONTRACT`.
"""

from operator import attrgetter
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from domain.task import Changes, Draft
from domain.values import Description, Title
from entrypoints.http.etags import Known, Seen, unless_known
from entrypoints.http.express import Operation
from entrypoints.http.json_body import Body
from entrypoints.http.list_query import Asked, answer
from entrypoints.http.owner import ListOfUser
from entrypoints.http.representation import TEXT, Completion, Id, Key, TaskBody, created, one

router = APIRouter(
    prefix="/api/{user_id}/tasks",
    tags=["/api/{user_id}/tasks"],
    generate_unique_id_function=attrgetter("name"),
    route_class=Operation,
)


class _UserTaskDetails(Completion, total=False):
    description: Annotated[Annotated[Description, TEXT] | None, Field(examples=["Two litres"])]


class UserTaskChanges(_UserTaskDetails, total=False):
    """What is sent is changed, the rest stays as it is."""

    title: Annotated[Title, TEXT, Field(examples=["Buy milk"])]


class NewUserTask(_UserTaskDetails):
    """A task to be created."""

    title: Annotated[Title, TEXT, Field(examples=["Buy milk"])]


@router.post("", status_code=201, response_model=TaskBody)
async def create_user_task(
    request: Request, todo: ListOfUser, key: Key, draft: Annotated[Draft, Depends(Body(NewUserTask, Draft))]
) -> Response:
    return created(await todo.create(draft, key), request)


@router.get("", response_model=list[TaskBody])
async def list_user_tasks(request: Request, todo: ListOfUser, asked: Asked, known: Known) -> Response:
    """In order of creation, unless another is asked for."""
    return await answer(todo, asked, request, known)


@router.get("/{id}", response_model=TaskBody)
async def get_user_task(todo: ListOfUser, task_id: Id, known: Known) -> Response:
    return unless_known(one(await todo.get(task_id)), known)


@router.put("/{id}", response_model=TaskBody, operation_id="put_user_task")
@router.patch("/{id}", response_model=TaskBody, operation_id="patch_user_task")
async def edit_user_task(
    todo: ListOfUser, task_id: Id, seen: Seen, changes: Annotated[Changes, Depends(Body(UserTaskChanges, Changes))]
) -> Response:
    """Changes what is sent and leaves the rest as it is."""
    return one(await todo.edit(task_id, changes, seen))


@router.patch("/{id}/complete", response_model=TaskBody)
async def complete_user_task(
    request: Request,
    todo: ListOfUser,
    task_id: Id,
    seen: Seen,
    changes: Annotated[Changes, Depends(Body(Completion, Changes, required=False))],
) -> Response:
    """Without a body: completes, which may be repeated safely. With one: sets the flag.

    Where `COMPLETE_TOGGLES` is set, it toggles without a body.
    """
    if changes:
        return one(await todo.edit(task_id, changes, seen))
    complete = todo.toggle if request.app.state.complete_toggles else todo.complete
    return one(await complete(task_id, seen))


@router.delete("/{id}", status_code=204)
async def delete_user_task(todo: ListOfUser, task_id: Id, seen: Seen) -> Response:
    await todo.delete(task_id, seen)
    return Response(status_code=204)
