"use client"

import { useEffect, useState } from "react"
import type { Status } from "@/lib/tasks"

const LABELS: [Status, string][] = [
  ["all", "All"],
  ["pending", "Open"],
  ["completed", "Done"],
]

interface Props {
  status: Status
  onStatus: (status: Status) => void
  onSearch: (text: string) => void
}

export function Filters({ status, onStatus, onSearch }: Props) {
  const [text, setText] = useState("")

  // One request when the typing pauses, not one per letter.
  useEffect(() => {
    const timer = setTimeout(() => onSearch(text.trim()), 300)
    return () => clearTimeout(timer)
  }, [text, onSearch])

  return (
    <div className="row">
      <fieldset>
        <legend className="visually-hidden">Show</legend>
        {LABELS.map(([value, label]) => (
          <label key={value}>
            <input type="radio" name="status" checked={status === value} onChange={() => onStatus(value)} />
            {label}
          </label>
        ))}
      </fieldset>
      <input
        type="search"
        aria-label="Search"
        placeholder="Search"
        maxLength={255}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
    </div>
  )
}
