"""The same operations as in the tutorials: FastAPI and SQLModel, `def` routes, a sync session for each request."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException, Path, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import StringConstraints, computed_field
from sqlalchemy import BigInteger, Column, DateTime, Identity
from sqlmodel import Field, Session, SQLModel, create_engine, select

# A connection for each of the forty threads: with the default of fifteen, 256 clients would wait for each other.
engine = create_engine("postgresql+psycopg://", pool_size=20, max_overflow=20)
app = FastAPI()

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class TaskBase(SQLModel):
    title: Title
    description: str | None = Field(default=None, max_length=1000)
    completed: bool = False


class Task(TaskBase, table=True):
    __tablename__ = "tasks"

    user_id: str = Field(primary_key=True)
    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    updated_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class TaskPublic(TaskBase):
    id: int
    user_id: str
    created_at: datetime
    updated_at: datetime

    @computed_field
    @property
    def status(self) -> str:
        return "complete" if self.completed else "incomplete"


class TaskUpdate(SQLModel):
    title: Title | None = None
    description: str | None = Field(default=None, max_length=1000)
    completed: bool | None = None


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def current_user(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    try:
        claims = jwt.decode(
            credentials.credentials,
            os.environ["JWT_KEY"],
            algorithms=[os.environ["JWT_ALGORITHM"]],
            issuer=os.environ["JWT_ISSUER"],
            audience=os.environ["JWT_AUDIENCE"],
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Invalid or expired token", {"WWW-Authenticate": "Bearer"}) from None
    return claims["sub"]


SessionDep = Annotated[Session, Depends(get_session)]
User = Annotated[str, Depends(current_user)]
TaskId = Annotated[int, Path(ge=1, le=2**53 - 1)]


def find(session: Session, user: str, task_id: int) -> Task:
    task = session.get(Task, (user, task_id))
    if task is None:
        raise HTTPException(404, "Task not found")
    return task


def save(session: Session, task: Task) -> Task:
    session.add(task)
    session.commit()
    session.refresh(task)
    return task


@app.get("/api/tasks", response_model=list[TaskPublic])
def list_tasks(session: SessionDep, user: User) -> Any:
    return session.exec(select(Task).where(Task.user_id == user).order_by(Task.user_id, Task.id)).all()


@app.get("/api/tasks/{task_id}", response_model=TaskPublic)
def get_task(task_id: TaskId, session: SessionDep, user: User) -> Any:
    return find(session, user, task_id)


@app.post("/api/tasks", status_code=201, response_model=TaskPublic)
def create_task(new: TaskBase, session: SessionDep, user: User, response: Response) -> Any:
    now = datetime.now(UTC)
    task = save(session, Task.model_validate(new, update={"user_id": user, "created_at": now, "updated_at": now}))
    response.headers["Location"] = f"/api/tasks/{task.id}"
    return task


@app.put("/api/tasks/{task_id}", response_model=TaskPublic)
def edit_task(task_id: TaskId, changes: TaskUpdate, session: SessionDep, user: User) -> Any:
    task = find(session, user, task_id)
    task.sqlmodel_update(changes.model_dump(exclude_unset=True), update={"updated_at": datetime.now(UTC)})
    return save(session, task)


@app.patch("/api/tasks/{task_id}/complete", response_model=TaskPublic)
def complete_task(task_id: TaskId, session: SessionDep, user: User) -> Any:
    task = find(session, user, task_id)
    task.completed, task.updated_at = not task.completed, datetime.now(UTC)
    return save(session, task)
