"use client"

import { useMutation } from "@tanstack/react-query"
import { useRouter } from "next/navigation"
import { authClient } from "@/lib/auth-client"
import { ErrorMessage } from "./error-message"

export function SignOut({ email }: { email: string }) {
  const router = useRouter()
  const { mutate, error, isPending } = useMutation({
    async mutationFn() {
      const { error } = await authClient.signOut()
      if (error) throw new Error(error.message)
    },
    onSuccess: () => router.refresh(),
  })

  return (
    <div>
      <span>{email}</span>{" "}
      <button onClick={() => mutate()} disabled={isPending}>
        Sign out
      </button>
      <ErrorMessage error={error} />
    </div>
  )
}
