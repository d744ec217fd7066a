"""Two users work with both contracts over HTTP, against a running `todo serve` that is restarted in between."""

import httpx2

from tests.cli.conftest import Todo


def titles(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200
    return [task["title"] for task in answer.json()]


def test_two_users_work_with_their_tasks_through_a_restart(todo: Todo) -> None:
    with todo.serve() as server:
        alice, bob = server.client(todo.token("alice")), server.client(todo.token("bob"))

        milk = alice.post("/api/tasks", json={"title": " Buy milk ", "description": "Two litres"})
        assert milk.status_code == 201
        tea = alice.post("/api/alice/tasks", json={"title": "Buy tea"})
        assert tea.status_code == 201
        bread = bob.post("/api/bob/tasks", json={"title": "Bake bread", "status": "complete"})
        assert bread.json()["completed"] is True

        assert titles(alice.get("/api/tasks")) == ["Buy milk", "Buy tea"]
        assert titles(alice.get("/api/alice/tasks?status=pending")) == ["Buy milk", "Buy tea"]
        assert titles(bob.get("/api/tasks?completed=true")) == ["Bake bread"]
        assert titles(bob.get("/api/bob/tasks?status=active")) == []

        assert bob.get("/api/alice/tasks").status_code == 403
        assert bob.get(milk.headers["location"]).status_code == 404
        assert bob.delete(f"/api/bob/tasks/{tea.json()['id']}").status_code == 404

        edited = alice.put(milk.headers["location"], json={"title": "Buy oat milk"})
        assert (edited.json()["title"], edited.json()["description"]) == ("Buy oat milk", "Two litres")
        assert alice.patch(tea.headers["location"], json={"description": "Green"}).json()["description"] == "Green"
        toggled = [alice.patch(f"{milk.headers['location']}/complete").json()["completed"] for _ in range(2)]
        assert toggled == [True, False]
        completed = [alice.patch(f"{tea.headers['location']}/complete").json()["completed"] for _ in range(2)]
        assert completed == [True, True]
        before = alice.get("/api/tasks").json()
        assert server.stop() == 0

    with todo.serve() as server:
        alice, bob = server.client(todo.token("alice")), server.client(todo.token("bob"))
        assert alice.get("/api/alice/tasks").json() == before
        assert titles(bob.get("/api/tasks")) == ["Bake bread"]
        assert titles(alice.get("/api/tasks?status=completed")) == ["Buy tea"]

        assert alice.delete(milk.headers["location"]).status_code == 204
        assert alice.delete(milk.headers["location"]).status_code == 404
        assert alice.delete(tea.headers["location"]).status_code == 204
        assert alice.get("/api/tasks").json() == []
        fresh = alice.post("/api/tasks", json={"title": "Buy coffee"}).json()
        assert fresh["id"] > max(task["id"] for task in before)
        assert titles(bob.get("/api/bob/tasks")) == ["Bake bread"]
