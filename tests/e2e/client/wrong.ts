// Mistakes that must not compile: tsc reports every `@ts-expect-error` that is above none. Never run.
import { createTasksClient, type Problem, type Task } from "tasks-client"

const api = createTasksClient({ baseUrl: "", getToken: () => "" })
const params = { path: { id: 7 } }
const ofUser = { path: { user_id: "u1", id: 7 } }

export async function wrongNames(task: Task) {
  // @ts-expect-error: the field is called title
  await api.POST("/api/tasks", { body: { name: "Buy milk" } })
  // @ts-expect-error: a new task has a title
  await api.POST("/api/{user_id}/tasks", { params: ofUser, body: { description: "Two litres" } })
  // @ts-expect-error: there is no priority
  await api.PATCH("/api/tasks/{id}", { params, body: { priority: 1 } })
  // @ts-expect-error: the field is called completed
  await api.PATCH("/api/{user_id}/tasks/{id}/complete", { params: ofUser, body: { done: true } })
  // @ts-expect-error: there is no such path
  await api.GET("/api/todos")
  // @ts-expect-error: the list is deleted with all=true only
  await api.DELETE("/api/tasks", { params })
  // @ts-expect-error: the parameter is called status
  await api.GET("/api/tasks", { params: { query: { state: "pending" } } })
  // @ts-expect-error: the path needs an id
  await api.GET("/api/tasks/{id}")
  // @ts-expect-error: the path needs a user
  await api.GET("/api/{user_id}/tasks/{id}", { params })
  // @ts-expect-error: times are in created_at
  return task.createdAt
}

export async function wrongValues(task: Task, problem: Problem) {
  // @ts-expect-error: tasks are complete or incomplete
  await api.POST("/api/tasks", { body: { title: "Buy milk", status: "done" } })
  // @ts-expect-error: only filters say completed
  await api.PATCH("/api/tasks/{id}/complete", { params, body: { status: "completed" } })
  // @ts-expect-error: a flag is a boolean
  await api.PUT("/api/{user_id}/tasks/{id}", { params: ofUser, body: { completed: "yes" } })
  // @ts-expect-error: a title cannot be cleared
  await api.PATCH("/api/tasks/{id}", { params, body: { title: null } })
  // @ts-expect-error: no filter is called done
  await api.GET("/api/{user_id}/tasks", { params: { ...ofUser, query: { status: "done" } } })
  // @ts-expect-error: ids are numbers
  await api.DELETE("/api/tasks/{id}", { params: { path: { id: "seven" } } })
  // @ts-expect-error: a task's status is complete or incomplete
  console.log(task.status === "pending")
  // @ts-expect-error: no problem has this code
  console.log(problem.code === "not_there")
  const { data } = await api.GET("/api/tasks/{id}", { params })
  // @ts-expect-error: there may be an error instead
  return data.title
}

// @ts-expect-error: getToken is required
createTasksClient({ baseUrl: "" })
