/** Better Auth on the server: users, sessions, and the JWTs that the API accepts. */
import { betterAuth } from "better-auth"
import { jwt } from "better-auth/plugins"
import { Pool } from "pg"

// BETTER_AUTH_URL and BETTER_AUTH_SECRET are read from the environment.
export const auth = betterAuth({
  database: new Pool({ connectionString: process.env.DATABASE_URL }),
  emailAndPassword: { enabled: true },
  plugins: [jwt()],
})
