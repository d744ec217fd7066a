// The example of the client's README, in a browser and on another origin than the API.
import { createTasksClient } from "tasks-client"

export async function useClient(baseUrl: string) {
  let cached: string | undefined
  let tokens = 0
  const tasks = createTasksClient({
    baseUrl,
    async getToken(expired) {
      if (!cached || cached === expired) {
        const response = await fetch("/api/auth/token", { credentials: "include" })
        if (!response.ok) throw new Error("Nobody is signed in")
        cached = (await response.json()).token as string
        tokens++
      }
      return cached
    },
  })
  const { data: created, error } = await tasks.POST("/api/tasks", { body: { title: "Buy milk" } })
  if (error) throw new Error(error.detail)
  const params = { path: { id: created.id } }
  const { data: completed } = await tasks.PATCH("/api/tasks/{id}/complete", { params, body: { status: "complete" } })
  const { data: listed } = await tasks.GET("/api/tasks")
  const { error: refused } = await tasks.POST("/api/tasks", { body: { title: "" } })
  return { created, completed, listed, refused: refused?.code, tokens }
}
