"use client"

import { useDeleteTask, useVersion } from "@/lib/tasks"
import { Dialog } from "./dialog"
import { ErrorMessage } from "./error-message"

/** Deletes what the user has confirmed: not what somebody else has made of it in the meantime. */
export function DeleteTask({ id, onClose }: { id: number; onClose: () => void }) {
  const { data, error: notLoaded } = useVersion(id)
  const { mutate, error: notDeleted, isPending } = useDeleteTask(id)
  return (
    <Dialog title="Delete task" onClose={onClose}>
      <ErrorMessage error={notLoaded ?? notDeleted} />
      {data && <p>Delete “{data.task.title}”?</p>}
      <div className="row">
        <button
          className="danger"
          disabled={!data || isPending}
          onClick={() => data && mutate(data.etag, { onSuccess: onClose })}
        >
          Delete
        </button>
        <button onClick={onClose} autoFocus>
          Cancel
        </button>
      </div>
    </Dialog>
  )
}
