import { headers } from "next/headers"
import { SignIn } from "@/components/sign-in"
import { SignOut } from "@/components/sign-out"
import { TaskBoard } from "@/components/task-board"
import { auth } from "@/lib/auth"
import { Providers } from "@/lib/api"

export default async function Page() {
  const session = await auth.api.getSession({ headers: await headers() })
  return (
    // The key gives each user a cache and a token of their own.
    <Providers key={session?.user.id} apiUrl={process.env.TASKS_API_URL ?? "http://localhost:8000"}>
      {session ? (
        <>
          <header>
            <h1>Tasks</h1>
            <SignOut email={session.user.email} />
          </header>
          <TaskBoard />
        </>
      ) : (
        <SignIn />
      )}
    </Providers>
  )
}
