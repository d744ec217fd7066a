"""Contract 1, `/api/tasks`: the owner is whoever calls."""

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
from entrypoints.http.owner import MyList
from entrypoints.http.representation import TEXT, Completion, Id, Key, TaskBody, created, one

router = APIRouter(
    prefix="/api/tasks", tags=["/api/tasks"], generate_unique_id_function=attrgetter("name"), route_class=Operation
)


class ShortTitle(Title):
    LONGEST = 200


class ShortDescription(Description):
    LONGEST = 1000


class _TaskDetails(Completion, total=False):
    description: Annotated[Annotated[ShortDescription, TEXT] | None, Field(examples=["Two litres"])]


class TaskChanges(_TaskDetails, total=False):
    """What is sent is changed, the rest stays as it is."""

    title: Annotated[ShortTitle, TEXT, Field(examples=["Buy milk"])]


class NewTask(_TaskDetails):
    """A task to be created."""

    title: Annotated[ShortTitle, TEXT, Field(examples=["Buy milk"])]


@router.post("", status_code=201, response_model=TaskBody)
async def create_task(
    request: Request, todo: MyList, key: Key, draft: Annotated[Draft, Depends(Body(NewTask, Draft))]
) -> Response:
    return created(await todo.create(draft, key), request)


@router.get("", response_model=list[TaskBody])
async def list_tasks(request: Request, todo: MyList, asked: Asked, known: Known) -> Response:
    """In order of creation, unless another is asked for."""
    return await answer(todo, asked, request, known)


@router.get("/{id}", response_model=TaskBody)
async def get_task(todo: MyList, task_id: Id, known: Known) -> Response:
    return unless_known(one(await todo.get(task_id)), known)


@router.put("/{id}", response_model=TaskBody, operation_id="put_task")
@router.patch("/{id}", response_model=TaskBody, operation_id="patch_task")
async def edit_task(
    todo: MyList, task_id: Id, seen: Seen, changes: Annotated[Changes, Depends(Body(TaskChanges, Changes))]
) -> Response:
    """Changes what is sent and leaves the rest as it is."""
    return one(await todo.edit(task_id, changes, seen))


@router.patch("/{id}/complete", response_model=TaskBody)
async def complete_task(
    todo: MyList,
    task_id: Id,
    seen: Seen,
    changes: Annotated[Changes, Depends(Body(Completion, Changes, required=False))],
) -> Response:
    """Without a body: toggles. With one: sets the flag, which may be repeated safely."""
    return one(await (todo.edit(task_id, changes, seen) if changes else todo.toggle(task_id, seen)))


@router.delete("/{id}", status_code=204)
async def delete_task(todo: MyList, task_id: Id, seen: Seen) -> Response:
    await todo.delete(task_id, seen)
    return Response(status_code=204)
