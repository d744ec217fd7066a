"use client"

import { useState } from "react"
import { useTasks, type Status } from "@/lib/tasks"
import { AddTask } from "./add-task"
import { ErrorMessage } from "./error-message"
import { Filters } from "./filters"
import { TaskItem } from "./task-item"

export function TaskBoard() {
  const [status, setStatus] = useState<Status>("all")
  const [search, setSearch] = useState("")
  const { data, error, isPending, hasNextPage, fetchNextPage, isFetchingNextPage } = useTasks(status, search)
  const tasks = data?.pages.flatMap((page) => page.tasks) ?? []

  return (
    <main>
      <AddTask />
      <Filters status={status} onStatus={setStatus} onSearch={setSearch} />
      <ErrorMessage error={error} />
      <ul className="tasks">
        {tasks.map((task) => (
          <TaskItem key={task.id} task={task} />
        ))}
      </ul>
      <p role="status">{isPending ? "Loading …" : data && tasks.length === 0 && "No tasks."}</p>
      {hasNextPage && (
        <button onClick={() => fetchNextPage()} disabled={isFetchingNextPage}>
          Show more
        </button>
      )}
    </main>
  )
}
