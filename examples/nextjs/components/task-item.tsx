"use client"

import { useState } from "react"
import type { Task } from "tasks-client"
import { useCompleteTask } from "@/lib/tasks"
import { DeleteTask } from "./delete-task"
import { EditTask } from "./edit-task"
import { ErrorMessage } from "./error-message"

export function TaskItem({ task }: { task: Task }) {
  const { mutate, error } = useCompleteTask(task.id)
  const [dialog, setDialog] = useState<"edit" | "delete" | null>(null)
  const close = () => setDialog(null)

  return (
    <li>
      <div className="row">
        <label>
          <input type="checkbox" checked={task.completed} onChange={(event) => mutate(event.target.checked)} />
          <span>
            {task.title}
            {task.description && <small>{task.description}</small>}
          </span>
        </label>
        <button onClick={() => setDialog("edit")} aria-label={`Edit ${task.title}`}>
          Edit
        </button>
        <button onClick={() => setDialog("delete")} aria-label={`Delete ${task.title}`}>
          Delete
        </button>
      </div>
      <ErrorMessage error={error} />
      {dialog === "edit" && <EditTask id={task.id} onClose={close} />}
      {dialog === "delete" && <DeleteTask id={task.id} onClose={close} />}
    </li>
  )
}
