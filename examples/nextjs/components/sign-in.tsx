"use client"

import { useMutation } from "@tanstack/react-query"
import { useRouter } from "next/navigation"
import { useState, type FormEvent } from "react"
import { authClient } from "@/lib/auth-client"
import { ErrorMessage } from "./error-message"

export function SignIn() {
  const router = useRouter()
  const [isNew, setNew] = useState(false)
  const { mutate, error, isPending } = useMutation({
    async mutationFn(form: FormData) {
      const account = { email: String(form.get("email")), password: String(form.get("password")) }
      const { error } = isNew
        ? await authClient.signUp.email({ ...account, name: String(form.get("name")) })
        : await authClient.signIn.email(account)
      if (error) throw new Error(error.message)
    },
    onSuccess: () => router.refresh(), // the server renders the tasks now
  })

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    mutate(new FormData(event.currentTarget))
  }

  return (
    <main className="narrow">
      <h1>Tasks</h1>
      <form onSubmit={submit} className="stack">
        <h2>{isNew ? "Create an account" : "Sign in"}</h2>
        {isNew && (
          <label>
            Name
            <input name="name" autoComplete="name" required />
          </label>
        )}
        <label>
          E-mail
          <input name="email" type="email" autoComplete="email" required />
        </label>
        <label>
          Password
          <input
            name="password"
            type="password"
            autoComplete={isNew ? "new-password" : "current-password"}
            minLength={8}
            required
          />
        </label>
        <ErrorMessage error={error} />
        <button className="primary" disabled={isPending}>
          {isNew ? "Sign up" : "Sign in"}
        </button>
      </form>
      <button className="link" onClick={() => setNew(!isNew)}>
        {isNew ? "I have an account" : "Create an account"}
      </button>
    </main>
  )
}
