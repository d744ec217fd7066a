"""Contract 1, `/api/tasks`: the owner is whoever calls."""

from operator import attrgetter
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from domain.task import Changes, Draft
from domain.values import Description, Title
from entrypoints.http.body import Body
from entrypoints.http.fields import TEXT, Completion, Id, TaskBody, all_of, created, one, wanted
from entrypoints.http.lists import MyList

router = APIRouter(prefix="/api/tasks", tags=["/api/tasks"], generate_unique_id_function=attrgetter("name"))


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
    request: Request, todo: MyList, draft: Annotated[Draft, Depends(Body(NewTask, Draft))]
) -> Response:
    return created(await todo.create(draft), request)


@router.get("", response_model=list[TaskBody])
async def list_tasks(todo: MyList, completed: Annotated[bool | None, Depends(wanted)]) -> Response:
    """In order of creation."""
    return all_of(await todo.list(completed=completed))


@router.get("/{id}", response_model=TaskBody)
async def get_task(todo: MyList, task_id: Id) -> Response:
    return one(await todo.get(task_id))


@router.put("/{id}", response_model=TaskBody, operation_id="put_task")
@router.patch("/{id}", response_model=TaskBody, operation_id="patch_task")
async def edit_task(
    todo: MyList, task_id: Id, changes: Annotated[Changes, Depends(Body(TaskChanges, Changes))]
) -> Response:
    """Changes what is sent and leaves the rest as it is."""
    return one(await todo.edit(task_id, changes))


@router.patch("/{id}/complete", response_model=TaskBody)
async def complete_task(
    todo: MyList, task_id: Id, changes: Annotated[Changes, Depends(Body(Completion, Changes, required=False))]
) -> Response:
    """Without a body: toggles. With one: sets the flag, which may be repeated safely."""
    return one(await (todo.edit(task_id, changes) if changes else todo.toggle(task_id)))


@router.delete("/{id}", status_code=204)
async def delete_task(todo: MyList, task_id: Id) -> Response:
    await todo.delete(task_id)
    return Response(status_code=204)
