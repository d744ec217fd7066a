// The same operations by Fastify and node-postgres, as their documentation recommends: schemas for what comes in and
// what goes out, @fastify/jwt before the body is read, a pool, and statements that have names, so they are prepared.
//
// TOKEN_CACHE=on: verified tokens are cached. Like our server, which keys them by the token itself: fast-jwt documents
// this beside its default, a hash of the token, which costs as much as the signature of HS256. An entry is valid for ten
// minutes (`cacheTTL`), but not beyond the token's `exp`; the least recently used of 1,000 makes room.
// REQUEST_LOG=on: one line of JSON per request instead of Fastify's two. Like our server, pino collects lines before it
// writes them ("asynchronous logging").
import Fastify, { LogController } from "fastify"
import jwt from "@fastify/jwt"
import pg from "pg"
import pino from "pino"

const { PORT, JWT_ALGORITHM, JWT_KEY, JWT_ISSUER, JWT_AUDIENCE, TOKEN_CACHE, REQUEST_LOG } = process.env

pg.types.setTypeParser(pg.types.builtins.INT8, Number)
const pool = new pg.Pool({ max: 20 }) // where to is in PGHOST, PGPORT, PGUSER, PGDATABASE

class RequestLog extends LogController {
  incomingRequest() {}

  requestCompleted(_error, request, reply) {
    const { method, routeOptions } = request
    reply.log.info({ method, route: routeOptions.url, status: reply.statusCode, milliseconds: reply.elapsedTime })
  }
}

const lines = { sync: false, minLength: 4096, periodicFlush: 20 }
const logging = { logger: { stream: pino.destination(lines) }, logController: new RequestLog() }

const app = Fastify(REQUEST_LOG === "on" ? logging : { logger: false })
await app.register(jwt, {
  secret: { public: JWT_KEY },
  ...(JWT_ALGORITHM === "HS256" ? { secret: JWT_KEY } : {}),
  verify: {
    algorithms: [JWT_ALGORITHM],
    allowedIss: JWT_ISSUER,
    allowedAud: JWT_AUDIENCE,
    ...(TOKEN_CACHE === "on" ? { cache: true, cacheKeyBuilder: (token) => token } : {}),
  },
})
app.addHook("onRequest", (request) => request.jwtVerify())

const task = {
  type: "object",
  required: ["id", "user_id", "title", "description", "completed", "status", "created_at", "updated_at"],
  properties: {
    id: { type: "integer" },
    user_id: { type: "string" },
    title: { type: "string" },
    description: { type: "string", nullable: true },
    completed: { type: "boolean" },
    status: { type: "string" },
    created_at: { type: "string", format: "date-time" },
    updated_at: { type: "string", format: "date-time" },
  },
}
const details = {
  title: { type: "string", minLength: 1, maxLength: 200, pattern: "\\S" },
  description: { type: "string", nullable: true, maxLength: 1000 },
  completed: { type: "boolean" },
}
const body = (required) => ({ type: "object", required, properties: details })
const params = { type: "object", properties: { id: { type: "integer", minimum: 1, maximum: Number.MAX_SAFE_INTEGER } } }

const columns = "id, user_id, title, description, completed, created_at, updated_at"
const shown = (row) => ({ ...row, status: row.completed ? "complete" : "incomplete" })
const rows = async (name, text, values) => (await pool.query({ name, text, values })).rows

function found(list, reply) {
  if (list.length === 0) return reply.code(404).send({ error: "Task not found" })
  return shown(list[0])
}

app.get("/api/tasks", { schema: { response: { 200: { type: "array", items: task } } } }, async (request) => {
  const mine = `SELECT ${columns} FROM tasks WHERE user_id = $1 ORDER BY user_id, id`
  return (await rows("list", mine, [request.user.sub])).map(shown)
})

app.get("/api/tasks/:id", { schema: { params, response: { 200: task } } }, async (request, reply) => {
  const one = `SELECT ${columns} FROM tasks WHERE user_id = $1 AND id = $2`
  return found(await rows("get", one, [request.user.sub, request.params.id]), reply)
})

app.post("/api/tasks", { schema: { body: body(["title"]), response: { 201: task } } }, async (request, reply) => {
  const { title, description = null, completed = false } = request.body
  const add = `INSERT INTO tasks (user_id, title, description, completed, created_at, updated_at)
    VALUES ($1, $2, $3, $4, now(), now()) RETURNING ${columns}`
  const [row] = await rows("create", add, [request.user.sub, title.trim(), description, completed])
  reply.code(201).header("Location", `/api/tasks/${row.id}`)
  return shown(row)
})

// What is sent is changed, the rest stays; null clears the description.
app.put("/api/tasks/:id", { schema: { params, body: body([]), response: { 200: task } } }, async (request, reply) => {
  const { title, description, completed } = request.body
  const edit = `UPDATE tasks SET title = coalesce($3, title), completed = coalesce($4, completed),
    description = CASE WHEN $5 THEN $6 ELSE description END, updated_at = now()
    WHERE user_id = $1 AND id = $2 RETURNING ${columns}`
  const values = [title?.trim(), completed, description !== undefined, description]
  return found(await rows("put", edit, [request.user.sub, request.params.id, ...values]), reply)
})

app.patch("/api/tasks/:id/complete", { schema: { params, response: { 200: task } } }, async (request, reply) => {
  const toggle = `UPDATE tasks SET completed = NOT completed, updated_at = now()
    WHERE user_id = $1 AND id = $2 RETURNING ${columns}`
  return found(await rows("complete", toggle, [request.user.sub, request.params.id]), reply)
})

process.on("SIGTERM", () => process.exit(0))
await app.listen({ host: "127.0.0.1", port: Number(PORT), backlog: 2048 })
