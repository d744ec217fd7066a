// What a frontend does with the typed client. `node steps.js STEP GIVEN-AS-JSON` prints what came of it, as JSON.
import { createTasksClient, type Problem, type Task } from "tasks-client"

declare const process: { argv: string[] }

interface Given {
  api: string
  tokens: [string, ...string[]] // handed out one after the other, the last one for ever
  user: string
  id: number
}

interface Answered {
  data?: unknown
  error?: unknown
  response: Response
}

const [, , step = "", argument = ""] = process.argv
const given: Given = JSON.parse(argument)
const asked: (string | null)[] = []
const api = createTasksClient({
  baseUrl: given.api,
  async getToken(expired) {
    asked.push(expired ?? null)
    return given.tokens[asked.length - 1] ?? given.tokens.at(-1) ?? ""
  },
})
const seen = ({ response, data, error }: Answered) => ({ status: response.status, data, error })

/** The one thing that a page has to tell apart. */
function said(problem: Problem): string {
  switch (problem.code) {
    case "task_not_found":
      return "It is gone."
    case "invalid_input":
      return (problem.errors ?? []).map(({ field, message }) => `${field} ${message}`).join()
    default:
      return problem.detail
  }
}

async function session() {
  const created = await api.POST("/api/tasks", { body: { title: "Buy milk", description: null, status: "incomplete" } })
  if (created.error) throw new Error(said(created.error))
  const params = { path: { id: created.data.id } }
  const listed = await api.GET("/api/tasks", { params: { query: { status: "pending" } } })
  const open: Task[] = listed.data ?? []
  const invalid = await api.POST("/api/tasks", { body: { title: "" } })
  return {
    created: seen(created),
    listed: open.map(({ id }) => id),
    got: seen(await api.GET("/api/tasks/{id}", { params })),
    put: seen(await api.PUT("/api/tasks/{id}", { params, body: { title: "Buy tea" } })),
    patched: seen(await api.PATCH("/api/tasks/{id}", { params, body: { description: "Green" } })),
    completed: seen(await api.PATCH("/api/tasks/{id}/complete", { params, body: { completed: true } })),
    toggled: seen(await api.PATCH("/api/tasks/{id}/complete", { params })),
    invalid: { ...seen(invalid), said: invalid.error && said(invalid.error) },
    deleted: seen(await api.DELETE("/api/tasks/{id}", { params })),
    gone: seen(await api.DELETE("/api/tasks/{id}", { params })),
  }
}

async function sessionOfUser() {
  const path = { user_id: given.user }
  const created = await api.POST("/api/{user_id}/tasks", { params: { path }, body: { title: "Buy milk" } })
  if (created.error) throw new Error(said(created.error))
  const params = { path: { ...path, id: created.data.id } }
  const listed = await api.GET("/api/{user_id}/tasks", { params: { path, query: { completed: "false" } } })
  const open: Task[] = listed.data ?? []
  const invalid = await api.POST("/api/{user_id}/tasks", { params: { path }, body: { title: "" } })
  return {
    created: seen(created),
    listed: open.map(({ id }) => id),
    got: seen(await api.GET("/api/{user_id}/tasks/{id}", { params })),
    put: seen(await api.PUT("/api/{user_id}/tasks/{id}", { params, body: { title: "Buy tea" } })),
    patched: seen(await api.PATCH("/api/{user_id}/tasks/{id}", { params, body: { description: "Green" } })),
    completed: seen(await api.PATCH("/api/{user_id}/tasks/{id}/complete", { params })),
    toggled: seen(await api.PATCH("/api/{user_id}/tasks/{id}/complete", { params, body: { status: "incomplete" } })),
    invalid: { ...seen(invalid), said: invalid.error && said(invalid.error) },
    deleted: seen(await api.DELETE("/api/{user_id}/tasks/{id}", { params })),
    gone: seen(await api.DELETE("/api/{user_id}/tasks/{id}", { params })),
    foreign: seen(await api.GET("/api/{user_id}/tasks", { params: { path: { user_id: "somebody-else" } } })),
  }
}

async function pages() {
  const read: string[][] = []
  let cursor: string | undefined
  do {
    const query = { limit: 2, sort: "title", cursor } as const
    const { data, response } = await api.GET("/api/tasks", { params: { query } })
    read.push((data ?? []).map(({ title }) => title))
    cursor = /cursor=([\w-]+)/.exec(response.headers.get("Link") ?? "")?.[1]
  } while (cursor)
  return read
}

async function patchSeen() {
  const { response } = await api.GET("/api/tasks/{id}", { params })
  const header = { "If-Match": response.headers.get("ETag") ?? "" }
  return api.PATCH("/api/tasks/{id}", { params: { ...params, header }, body: { description: "Green" } })
}

const params = { path: { id: given.id } }
const paramsOfUser = { path: { id: given.id, user_id: given.user } }
const single: Record<string, () => Promise<Answered>> = {
  create: () => api.POST("/api/tasks", { body: { title: "Buy milk" } }),
  createWithKey: () => api.POST("/api/tasks", { body: { title: "Buy milk" }, headers: { "Idempotency-Key": "mine" } }),
  list: () => api.GET("/api/tasks"),
  listImpatiently: () => api.GET("/api/tasks", { signal: AbortSignal.timeout(1500) }),
  listOfUser: () => api.GET("/api/{user_id}/tasks", { params: { path: { user_id: given.user } } }),
  put: () => api.PUT("/api/tasks/{id}", { params, body: { title: "Buy tea" } }),
  patch: () => api.PATCH("/api/tasks/{id}", { params, body: { description: "Green" } }),
  patchSeen,
  complete: () => api.PATCH("/api/tasks/{id}/complete", { params, body: { status: "complete" } }),
  toggle: () => api.PATCH("/api/tasks/{id}/complete", { params }),
  toggleByNothing: () => api.PATCH("/api/tasks/{id}/complete", { params, body: {} }),
  completeOfUser: () => api.PATCH("/api/{user_id}/tasks/{id}/complete", { params: paramsOfUser }),
  remove: () => api.DELETE("/api/tasks/{id}", { params }),
}

async function once(call: () => Promise<Answered>) {
  try {
    return { ...seen(await call()), asked }
  } catch (failure) {
    return { failed: failure instanceof Error ? failure.name : String(failure), asked }
  }
}

const sessions: Record<string, () => Promise<object>> = { session, sessionOfUser, pages }
const whole = sessions[step]
const call = single[step]
console.log(JSON.stringify(whole ? await whole() : call ? await once(call) : `there is no step ${step}`))
