// A genuine Better Auth server on loopback, and the page of a frontend on the same origin.
// Environment: PORT, SECRET; optionally ALG (of the key pair), ROTATION (seconds), COOKIES ("secret" or "keys"),
// BASE_PATH and JWKS_PATH (as Neon Auth has them: /neondb/auth, /.well-known/jwks.json).
import { createServer } from "node:http"
import { readFile } from "node:fs/promises"
import { APIError, betterAuth } from "better-auth"
import { memoryAdapter } from "better-auth/adapters/memory"
import { toNodeHandler } from "better-auth/node"
import { jwt } from "better-auth/plugins"

const { PORT, SECRET, ALG = "EdDSA", ROTATION, COOKIES, BASE_PATH = "/api/auth", JWKS_PATH } = process.env
const origin = `http://localhost:${PORT}`
const tables = { user: [], session: [], account: [], verification: [], jwks: [] }
const verificationTokens = []
let api // address of the API, once the test has named it

const auth = betterAuth({
  baseURL: origin,
  basePath: BASE_PATH,
  secret: SECRET,
  database: memoryAdapter(tables),
  trustedOrigins: [origin],
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  emailAndPassword: { enabled: true },
  emailVerification: { sendOnSignUp: true, sendVerificationEmail: async ({ token }) => void verificationTokens.push(token) },
  session: COOKIES ? { cookieCache: { enabled: true, strategy: "jwt", maxAge: 300 } } : {},
  user: {
    deleteUser: {
      enabled: true,
      beforeDelete: async (_user, request) => {
        const { token } = await auth.api.getToken({ headers: request.headers })
        const response = await fetch(`${api}/api/tasks?all=true`, {
          method: "DELETE",
          headers: { Authorization: `Bearer ${token}` },
        })
        if (!response.ok) throw new APIError("SERVICE_UNAVAILABLE", { message: "Please try again." })
      },
    },
  },
  plugins: [
    jwt({
      sessionCookieCache: COOKIES === "keys",
      jwks: {
        jwksPath: JWKS_PATH,
        keyPairConfig: ALG === "EdDSA" ? { alg: ALG, crv: "Ed25519" } : { alg: ALG },
        rotationInterval: ROTATION ? Number(ROTATION) : undefined,
      },
    }),
  ],
})

const handle = toNodeHandler(auth)
const page = await readFile(new URL("page.html", import.meta.url))

createServer((request, response) => {
  if (request.url.startsWith(`${BASE_PATH}/`)) return handle(request, response)
  if (request.url.startsWith("/api-is?")) return response.end((api = request.url.slice("/api-is?".length)))
  if (request.url === "/verification-tokens") return response.end(JSON.stringify(verificationTokens))
  response.setHeader("Content-Type", "text/html")
  response.end(page)
}).listen(Number(PORT), () => console.log(`listening at ${origin}`))
