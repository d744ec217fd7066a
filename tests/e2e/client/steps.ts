// Steps that a frontend takes with the typed client. `node steps.js STEP ARGUMENTS-AS-JSON` prints the result as JSON.
import { createTasksClient, nextCursor, ProblemError, unwrap, type Problem, type Task } from "tasks-client"

declare const process: { argv: string[] }

interface Arguments {
  api: string
  tokens: [string, ...string[]] // returned one after the other; the last one is repeated
  user: string
  id: number
}

interface Result {
  data?: unknown
  error?: unknown
  response: Response
}

const [, , step = "", argument = ""] = process.argv
const args: Arguments = JSON.parse(argument)
const tokenRequests: (string | null)[] = []
const api = createTasksClient({
  baseUrl: args.api,
  async getToken(expired) {
    tokenRequests.push(expired ?? null)
    return args.tokens[tokenRequests.length - 1] ?? args.tokens.at(-1) ?? ""
  },
})
const outcome = ({ response, data, error }: Result) => ({ status: response.status, data, error })

/** Distinguishes errors by their code. */
function message(problem: Problem): string {
  switch (problem.code) {
    case "task_not_found":
      return "This task no longer exists."
    case "invalid_input":
      return (problem.errors ?? []).map(({ field, message }) => `${field} ${message}`).join()
    default:
      return problem.detail
  }
}

async function session() {
  const created = await api.POST("/api/tasks", { body: { title: "Buy milk", description: null, status: "incomplete" } })
  if (created.error) throw new Error(message(created.error))
  const params = { path: { id: created.data.id } }
  const listed = await api.GET("/api/tasks", { params: { query: { status: "pending" } } })
  const open: Task[] = listed.data ?? []
  const invalid = await api.POST("/api/tasks", { body: { title: "" } })
  return {
    created: outcome(created),
    listed: open.map(({ id }) => id),
    got: outcome(await api.GET("/api/tasks/{id}", { params })),
    put: outcome(await api.PUT("/api/tasks/{id}", { params, body: { title: "Buy tea" } })),
    patched: outcome(await api.PATCH("/api/tasks/{id}", { params, body: { description: "Green" } })),
    completed: outcome(await api.PATCH("/api/tasks/{id}/complete", { params, body: { completed: true } })),
    toggled: outcome(await api.PATCH("/api/tasks/{id}/complete", { params })),
    invalid: { ...outcome(invalid), message: invalid.error && message(invalid.error) },
    deleted: outcome(await api.DELETE("/api/tasks/{id}", { params })),
    gone: outcome(await api.DELETE("/api/tasks/{id}", { params })),
  }
}

async function sessionOfUser() {
  const path = { user_id: args.user }
  const created = await api.POST("/api/{user_id}/tasks", { params: { path }, body: { title: "Buy milk" } })
  if (created.error) throw new Error(message(created.error))
  const params = { path: { ...path, id: created.data.id } }
  const listed = await api.GET("/api/{user_id}/tasks", { params: { path, query: { completed: "false" } } })
  const open: Task[] = listed.data ?? []
  const invalid = await api.POST("/api/{user_id}/tasks", { params: { path }, body: { title: "" } })
  return {
    created: outcome(created),
    listed: open.map(({ id }) => id),
    got: outcome(await api.GET("/api/{user_id}/tasks/{id}", { params })),
    put: outcome(await api.PUT("/api/{user_id}/tasks/{id}", { params, body: { title: "Buy tea" } })),
    patched: outcome(await api.PATCH("/api/{user_id}/tasks/{id}", { params, body: { description: "Green" } })),
    completed: outcome(await api.PATCH("/api/{user_id}/tasks/{id}/complete", { params })),
    toggled: outcome(await api.PATCH("/api/{user_id}/tasks/{id}/complete", { params, body: { status: "incomplete" } })),
    invalid: { ...outcome(invalid), message: invalid.error && message(invalid.error) },
    deleted: outcome(await api.DELETE("/api/{user_id}/tasks/{id}", { params })),
    gone: outcome(await api.DELETE("/api/{user_id}/tasks/{id}", { params })),
    foreign: outcome(await api.GET("/api/{user_id}/tasks", { params: { path: { user_id: "somebody-else" } } })),
  }
}

async function pages() {
  const read: string[][] = []
  let cursor: string | undefined
  do {
    const query = { limit: 2, sort: "title", cursor } as const
    const { data, response } = await api.GET("/api/tasks", { params: { query } })
    read.push((data ?? []).map(({ title }) => title))
    cursor = nextCursor(response)
  } while (cursor)
  return read
}

/** Calls that share the client's token, one after the other and at once. */
async function tokens() {
  const list = () => api.GET("/api/tasks", { params: { query: { completed: false } } })
  const statuses = [await list(), ...(await Promise.all([list(), list(), list()]))].map(({ response }) => response.status)
  const before = tokenRequests.length
  api.forgetToken()
  await list()
  return { statuses, before, after: tokenRequests.length }
}

async function thrown() {
  try {
    unwrap(await api.POST("/api/tasks", { body: { title: "" } }))
  } catch (failure) {
    if (!(failure instanceof ProblemError)) throw failure
    return { text: String(failure), code: failure.code, status: failure.status, isError: failure instanceof Error }
  }
  throw new Error("nothing was thrown")
}

async function patchIfMatch() {
  const { response } = await api.GET("/api/tasks/{id}", { params })
  const header = { "If-Match": response.headers.get("ETag") ?? "" }
  return api.PATCH("/api/tasks/{id}", { params: { ...params, header }, body: { description: "Green" } })
}

const params = { path: { id: args.id } }
const paramsOfUser = { path: { id: args.id, user_id: args.user } }
const single: Record<string, () => Promise<Result>> = {
  create: () => api.POST("/api/tasks", { body: { title: "Buy milk" } }),
  createWithKey: () => api.POST("/api/tasks", { body: { title: "Buy milk" }, headers: { "Idempotency-Key": "mine" } }),
  list: () => api.GET("/api/tasks"),
  listWithTimeout: () => api.GET("/api/tasks", { signal: AbortSignal.timeout(1500) }),
  listOfUser: () => api.GET("/api/{user_id}/tasks", { params: { path: { user_id: args.user } } }),
  put: () => api.PUT("/api/tasks/{id}", { params, body: { title: "Buy tea" } }),
  patch: () => api.PATCH("/api/tasks/{id}", { params, body: { description: "Green" } }),
  patchIfMatch,
  complete: () => api.PATCH("/api/tasks/{id}/complete", { params, body: { status: "complete" } }),
  contradict: () => api.PUT("/api/tasks/{id}", { params, body: { completed: true, status: "incomplete" } }),
  removeAll: () => api.DELETE("/api/tasks", { params: { query: { all: true } } }),
  toggle: () => api.PATCH("/api/tasks/{id}/complete", { params }),
  toggleWithEmptyBody: () => api.PATCH("/api/tasks/{id}/complete", { params, body: {} }),
  completeOfUser: () => api.PATCH("/api/{user_id}/tasks/{id}/complete", { params: paramsOfUser }),
  remove: () => api.DELETE("/api/tasks/{id}", { params }),
}

async function once(call: () => Promise<Result>) {
  try {
    return { ...outcome(await call()), tokenRequests }
  } catch (failure) {
    return { failed: failure instanceof Error ? failure.name : String(failure), tokenRequests }
  }
}

const sessions: Record<string, () => Promise<object>> = { session, sessionOfUser, pages, tokens, thrown }
const whole = sessions[step]
const call = single[step]
console.log(JSON.stringify(whole ? await whole() : call ? await once(call) : `there is no step ${step}`))
