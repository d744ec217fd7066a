/** Creates Better Auth's tables, or adds what an upgrade needs, before Next.js serves the first request. */
export async function register() {
  if (process.env.NEXT_RUNTIME !== "nodejs") return
  const { getMigrations } = await import("better-auth/db/migration")
  const { auth } = await import("@/lib/auth")
  const { runMigrations } = await getMigrations(auth.options)
  await runMigrations()
}
