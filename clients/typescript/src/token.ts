/** Keeps a token until it expires, and fetches one at a time. */

/**
 * Gives a JWT for the API. Called when the client has none that is still valid; with the token that the API has refused
 * as expired, if that is the reason.
 */
export type GetToken = (expired?: string) => string | Promise<string>

const MARGIN = 10_000 // milliseconds before its expiry at which a token is no longer used

export interface Tokens {
  /** A valid token. Concurrent calls share one fetch. */
  get(): Promise<string>
  /** Another token than this one, which the API has refused as expired. */
  renew(expired: string): Promise<string>
  forget(): void
}

export function keeper(getToken: GetToken): Tokens {
  let kept: string | undefined
  let pending: Promise<string> | undefined

  function request(expired?: string): Promise<string> {
    if (pending) return pending
    const mine: Promise<string> = (async () => getToken(expired))().then(
      (token) => {
        if (pending === mine) [kept, pending] = [token, undefined] // else it was forgotten in between
        return token
      },
      (failure) => {
        if (pending === mine) pending = undefined
        throw failure
      },
    )
    return (pending = mine)
  }

  return {
    get: () => (kept !== undefined && expiry(kept) - MARGIN > Date.now() ? Promise.resolve(kept) : request()),
    renew(expired) {
      if (kept !== expired && kept !== undefined) return Promise.resolve(kept) // another call has renewed it
      kept = undefined
      return request(expired)
    },
    forget() {
      kept = pending = undefined
    },
  }
}

/** In milliseconds since 1970. A token that cannot be read is kept until the API refuses it. */
function expiry(token: string): number {
  try {
    const { exp } = JSON.parse(atob((token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/")))
    return typeof exp === "number" ? exp * 1000 : Infinity
  } catch {
    return Infinity
  }
}

export interface BetterAuthOptions {
  /** Where Better Auth is, like `https://app.example.com`. The page's own origin by default. */
  url?: string
  /** Its path there. */
  basePath?: string
}

/** Tokens of the user who is signed in to Better Auth, by the session cookie. Better Auth needs its plugin jwt(). */
export function betterAuth({ url = "", basePath = "/api/auth" }: BetterAuthOptions = {}): GetToken {
  return async () => {
    const response = await fetch(`${url}${basePath}/token`, { credentials: "include" })
    if (!response.ok) throw new Error(response.status === 401 ? "Not signed in" : `No token: ${response.status}`)
    return (await response.json()).token
  }
}
