"use client"

import type { FormEvent } from "react"
import { isConflict } from "@/lib/api"
import { useEditTask, useVersion, type Version } from "@/lib/tasks"
import { Dialog } from "./dialog"
import { ErrorMessage } from "./error-message"

export function EditTask({ id, onClose }: { id: number; onClose: () => void }) {
  const { data, error } = useVersion(id)
  return (
    <Dialog title="Edit task" onClose={onClose}>
      <ErrorMessage error={error} />
      {data && <Fields version={data} onClose={onClose} />}
    </Dialog>
  )
}

function Fields({ version: { task, etag }, onClose }: { version: Version; onClose: () => void }) {
  const { mutate, error, isPending } = useEditTask(task.id)

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const description = String(form.get("description")) || null
    mutate({ etag, title: String(form.get("title")), description }, { onSuccess: onClose })
  }

  return (
    <form onSubmit={submit} className="stack">
      <label>
        Title
        <input name="title" defaultValue={task.title} required />
      </label>
      <label>
        Description
        <textarea name="description" rows={3} defaultValue={task.description ?? ""} />
      </label>
      <ErrorMessage error={error} />
      {isConflict(error) && <p>It is now “{task.title}”. Save again to replace it with yours.</p>}
      <div className="row">
        <button className="primary" disabled={isPending}>
          Save
        </button>
        <button type="button" onClick={onClose}>
          Cancel
        </button>
      </div>
    </form>
  )
}
