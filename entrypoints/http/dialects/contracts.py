"""The contracts of a dialect."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple, get_args

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from application.todo_list import TodoList
from domain.task import Changes, Draft
from entrypoints.http import responses
from entrypoints.http.context import services
from entrypoints.http.contract import Contract
from entrypoints.http.contracts import tasks, user_tasks
from entrypoints.http.dialects import lists, users, words
from entrypoints.http.etags import IfMatch, IfNoneMatch, Preconditions, or_not_modified
from entrypoints.http.json_body import JsonBody
from entrypoints.http.list_query import ListQuery, listing
from entrypoints.http.openapi import CHANGE, CONFIRMED, CREATE, DELETE, DELETE_ALL, LIST, READ, Responses
from entrypoints.http.owner import ListOfUser, OwnList
from entrypoints.http.parameters import All, Id, Key, one_of
from entrypoints.http.representation import (
    CHANGES_EXAMPLE,
    COMPLETION_EXAMPLE,
    NEW_EXAMPLE,
    Completion,
    Deleted,
    TaskBody,
    array_json,
    changes,
    task_json,
)
from entrypoints.http.responses import ArrayJson, TaskJson, created_response, delete_all, task_response


class Part(NamedTuple):
    """What the application includes; the module of a contract has the same two names."""

    CONTRACT: Contract
    router: APIRouter


class _Place(NamedTuple):
    """A contract that a dialect takes the place of, and what it takes over from it."""

    contract: Contract
    name: str
    todo_list: Any
    new: Any
    changed: Any
    toggles: bool


_PLACES = (
    _Place(user_tasks.CONTRACT, "user_", ListOfUser, user_tasks.New, user_tasks.Changed, toggles=False),
    _Place(tasks.CONTRACT, "", OwnList, tasks.New, tasks.Changed, toggles=True),
)


def contracts(dialect: str | None, list_: str | None, delete: str | None) -> Sequence[Part]:
    """Those of the dialect that the settings choose, in order of precedence; none without a setting."""
    chosen = _Dialect(words=dialect == "words", objects=list_ == "tasks", empty_object=delete == "200")
    nouns = ("tasks", "todos") if chosen.words else ("tasks",)
    parts = [chosen.part(place, noun) for place in _PLACES for noun in nouns]
    if chosen.words:
        for part in parts:
            words.add_variants(part.router)
        parts.append(Part(users.CONTRACT, users.router))
    return parts if dialect or list_ or delete else ()


@dataclass(frozen=True, slots=True)
class _Dialect:
    """`words`: more names for `completed` and more paths; newest first. `objects`: lists and tasks are members of an
    object. `empty_object`: deleting a task leaves 200 and an empty object."""

    words: bool
    objects: bool
    empty_object: bool

    def part(self, place: _Place, noun: str) -> Part:
        contract = replace(place.contract, prefix=place.contract.prefix.removesuffix("tasks") + noun)
        router, name = contract.router(), place.name + noun.removesuffix("s")
        one, several = self._models()
        self._add_list_routes(router, name, place, one, several)
        self._add_task_routes(router, name, place, one)
        return Part(contract, router)

    def _add_list_routes(self, router: APIRouter, name: str, place: _Place, one: Any, several: Any) -> None:
        todo_list, new, query = self._dependencies_of_lists(place)
        json, array = self._rendering()
        list_response = _LIST_RESPONSE[self.objects]

        @router.post("", status_code=201, response_model=one, responses=CREATE, operation_id=f"create_{name}")
        async def create(request: Request, *, todo: TodoList = todo_list, key: Key, sent: Draft = new) -> Response:
            return created_response(await todo.create(sent, key), request, json)

        @router.get("", response_model=several, responses=LIST, operation_id=f"list_{name}s")
        async def list_tasks(
            request: Request, *, todo: TodoList = todo_list, asked: ListQuery = query, if_none_match: IfNoneMatch
        ) -> Response:
            return await list_response(todo, asked, request, if_none_match, array)

        @router.delete(
            "", response_model=Deleted, responses=DELETE_ALL, openapi_extra=CONFIRMED, operation_id=f"delete_{name}s"
        )
        async def delete_tasks(_: All, *, todo: TodoList = todo_list, if_match: IfMatch) -> Response:
            return await delete_all(todo, if_match, self._whole(array))

    def _add_task_routes(self, router: APIRouter, name: str, place: _Place, one: Any) -> None:
        todo_list, changed, completed = self._dependencies_of_tasks(place)
        json, _ = self._rendering()
        status, body, media_type = _DELETION[self.empty_object]

        @router.get("/{id}", response_model=one, responses=READ, operation_id=f"get_{name}")
        async def get(*, todo: TodoList = todo_list, task_id: Id, if_none_match: IfNoneMatch) -> Response:
            return or_not_modified(task_response(await todo.get(task_id), json), if_none_match)

        @router.put("/{id}", response_model=one, responses=CHANGE, operation_id=f"put_{name}")
        @router.patch("/{id}", response_model=one, responses=CHANGE, operation_id=f"patch_{name}")
        async def edit(
            *, todo: TodoList = todo_list, task_id: Id, expected: Preconditions, sent: Changes = changed
        ) -> Response:
            return task_response(await todo.edit(task_id, sent, expected), json)

        @router.patch("/{id}/complete", response_model=one, responses=CHANGE, operation_id=f"complete_{name}")
        async def complete_task(
            request: Request,
            *,
            todo: TodoList = todo_list,
            task_id: Id,
            expected: Preconditions,
            flag: _Flag = None,
            sent: Changes = completed,
        ) -> Response:
            if self.words and flag is not None:
                sent = {"completed": flag, **sent}
            if sent:
                return task_response(await todo.edit(task_id, sent, expected), json)
            toggles = self.words or place.toggles or services(request).complete_toggles
            return task_response(await (todo.toggle if toggles else todo.complete)(task_id, expected), json)

        @router.delete("/{id}", status_code=status, responses=_DELETE[status], operation_id=f"delete_{name}")
        async def delete(*, todo: TodoList = todo_list, task_id: Id, expected: Preconditions) -> Response:
            await todo.delete(task_id, expected)
            return Response(body, status, media_type=media_type)

    def _models(self) -> tuple[Any, Any]:
        task = words.TaskInWords if self.words else TaskBody
        return lists.models(task) if self.objects else (task, list[task])  # type: ignore[valid-type]

    def _rendering(self) -> tuple[TaskJson, ArrayJson]:
        """Of a response with one task, and of the tasks of a list."""
        task, array = (words.task_in_words, words.array_in_words) if self.words else (task_json, array_json)
        return lists.in_object(task) if self.objects else task, array

    @property
    def _own(self) -> Sequence[str]:
        """Members that are not additional ones, because clients send back what they have read."""
        return ["task"] if self.objects else []

    def _dependencies_of_lists(self, place: _Place) -> Sequence[Any]:
        """The caller's list, a new task and the query of a list."""
        todo_list, new = _dependency(place.todo_list), _dependency(place.new)
        if not self.words:
            return todo_list, Depends(new.dependency.knowing(*self._own)), listing()
        model = words.in_words(new.dependency.model)
        body = JsonBody(model, words.draft_in_words, example=NEW_EXAMPLE, ours=words.NAMES.union(self._own))
        return todo_list, Depends(body), listing(words=words.FILTER, lenient=True, newest_first=True)

    def _dependencies_of_tasks(self, place: _Place) -> Sequence[Any]:
        """The caller's list, changes and a completion."""
        todo_list, changed = _dependency(place.todo_list), _dependency(place.changed)
        if not self.words:
            completion = JsonBody(Completion, changes, example=COMPLETION_EXAMPLE, required=False)
            return todo_list, Depends(changed.dependency.knowing(*self._own)), Depends(completion)
        model, read = words.in_words(changed.dependency.model), words.changes_in_words
        body = JsonBody(model, read, example=CHANGES_EXAMPLE, ours=words.NAMES.union(self._own))
        completion = JsonBody(words.in_words(Completion), read, example=COMPLETION_EXAMPLE, required=False)
        return todo_list, Depends(body), Depends(completion)

    def _whole(self, array: ArrayJson) -> ArrayJson:
        """A whole list in its default order, which has the ETag that If-Match names."""
        render = lists.whole(array) if self.objects else array
        return (lambda tasks: render(tasks[::-1])) if self.words else render


def _dependency(annotated: Any) -> Any:
    """What an annotated type depends on."""
    return get_args(annotated)[1]


_Flag = Annotated[
    bool | None,
    one_of("completed", {"true": True, "false": False}),
    Query(alias="completed", include_in_schema=False),
]
_LIST_RESPONSE: Mapping[bool, Callable[..., Awaitable[Response]]] = {
    True: lists.list_response,
    False: responses.list_response,
}
_DELETION: Mapping[bool, tuple[int, bytes, str | None]] = {
    True: (200, b"{}", "application/json"),
    False: (204, b"", None),
}
_DELETE: Mapping[int, Responses] = {
    204: DELETE,
    200: {200: {"description": "An empty object."}, **{status: DELETE[status] for status in DELETE if status != 204}},
}
