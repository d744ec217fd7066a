// The client in a page without React, on another origin than the API.
import { betterAuth, createTasksClient } from "tasks-client"

export async function useClient(baseUrl: string) {
  const fetched = () => performance.getEntriesByType("resource").filter(({ name }) => name.endsWith("/api/auth/token"))
  const before = fetched().length
  const tasks = createTasksClient({ baseUrl, getToken: betterAuth() })
  const { data: created, error } = await tasks.POST("/api/tasks", { body: { title: "Buy milk" } })
  if (error) throw new Error(error.detail)
  const params = { path: { id: created.id } }
  const { data: completed } = await tasks.PATCH("/api/tasks/{id}/complete", { params, body: { status: "complete" } })
  const { data: listed } = await tasks.GET("/api/tasks")
  const { error: refused } = await tasks.POST("/api/tasks", { body: { title: "" } })
  return { created, completed, listed, refused: refused?.code, tokens: fetched().length - before }
}
