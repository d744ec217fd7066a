import { QueryClient, QueryClientProvider } from "@tanstack/react-query"
import { createRoot } from "react-dom/client"
import { betterAuth, createTasksClient } from "tasks-client"
import { TasksProvider, useCreateTask, useDeleteTask, useTasks, useToggleTask } from "tasks-client/react"

const tasks = createTasksClient({ baseUrl: "https://api.example.com", getToken: betterAuth() })
const queries = new QueryClient()

function Tasks() {
  const { data = [], error } = useTasks({ order: "desc" })
  const [create, toggle, remove] = [useCreateTask(), useToggleTask(), useDeleteTask()]
  const failure = error ?? create.error ?? toggle.error ?? remove.error
  return (
    <>
      <form action={(form) => create.mutate({ title: String(form.get("title")) })}>
        <input name="title" aria-label="New task" /> <button>Add</button>
      </form>
      {failure && <p role="alert">{failure.message}</p>}
      <ul>
        {data.map((task) => (
          <li key={task.id}>
            <label>
              <input type="checkbox" checked={task.completed} onChange={() => toggle.mutate(task)} /> {task.title}
            </label>
            <button onClick={() => remove.mutate(task)}>Delete</button>
          </li>
        ))}
      </ul>
    </>
  )
}

createRoot(document.getElementById("root")!).render(
  <QueryClientProvider client={queries}>
    <TasksProvider client={tasks}>
      <Tasks />
    </TasksProvider>
  </QueryClientProvider>,
)
