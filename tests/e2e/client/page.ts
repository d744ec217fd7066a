// The page of the client's README, in a browser and on another origin than the API.
import { createTasksClient } from "tasks-client"

export async function day(baseUrl: string) {
  let kept: string | undefined
  let tokens = 0
  const tasks = createTasksClient({
    baseUrl,
    async getToken(expired) {
      if (!kept || kept === expired) {
        const answer = await fetch("/api/auth/token", { credentials: "include" })
        if (!answer.ok) throw new Error("Nobody is signed in")
        kept = (await answer.json()).token as string
        tokens++
      }
      return kept
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
