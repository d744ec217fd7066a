"use client"

import type { FormEvent } from "react"
import { useAddTask } from "@/lib/tasks"
import { ErrorMessage } from "./error-message"

export function AddTask() {
  const { mutate, error, isPending } = useAddTask()

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = event.currentTarget
    mutate(String(new FormData(form).get("title")), { onSuccess: () => form.reset() })
  }

  return (
    <form onSubmit={submit}>
      <div className="row">
        <input name="title" aria-label="New task" placeholder="What is to be done?" autoComplete="off" required />
        <button className="primary" disabled={isPending}>
          Add
        </button>
      </div>
      <ErrorMessage error={error} />
    </form>
  )
}
