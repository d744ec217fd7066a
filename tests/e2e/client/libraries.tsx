// What other libraries and forms make of the client's types. Compiled, never run.
import createClient from "openapi-react-query"
import { createTasksClient, type components, type NewTask, type paths, type Problem, type TaskChanges } from "tasks-client"
import { useCreateTask, useTasks, useToggleTask, useUpdateTask } from "tasks-client/react"

const tasks = createTasksClient({ baseUrl: "", getToken: () => "" })
const api = createClient(tasks.client)

export function WithOpenapiReactQuery() {
  const { data, error } = api.useQuery("get", "/api/tasks", { params: { query: { completed: false, limit: 20 } } })
  const { mutate } = api.useMutation("patch", "/api/tasks/{id}/complete")
  const complete = (id: number) => mutate({ params: { path: { id } }, body: { completed: true } })
  return <ul onClick={() => complete(data?.[0]?.id ?? 1)}>{error?.detail ?? data?.map(({ title }) => title)}</ul>
}

export function WithHooks() {
  const { data = [], error } = useTasks({ completed: true, sort: "updated_at", order: "desc" })
  const [create, update, toggle] = [useCreateTask(), useUpdateTask(), useToggleTask()]
  const task: NewTask = { title: "Buy milk" }
  const changes: TaskChanges = { description: null }
  create.mutate(task)
  update.mutate({ id: 7, ...changes })
  data.forEach((task) => toggle.mutate(task))
  // @ts-expect-error: the field is called title
  create.mutate({ name: "Buy milk" })
  // @ts-expect-error: no filter is called state
  useTasks({ state: "open" })
  return <p>{error?.message}</p>
}

export type Exported = [components["schemas"]["TaskBody"], paths["/api/tasks"], Problem["code"]]
