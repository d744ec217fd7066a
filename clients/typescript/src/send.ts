/** Sends a request with a token, and again where twice has the effect of once. */
import type { Tokens } from "./token.js"

const TRIES = 3
const FIRST_PAUSE = 300 // milliseconds at least, and twice that at most; doubled before the third try
const LONGEST_PAUSE = 5_000 // milliseconds, whatever Retry-After asks for
const PASSING = ["storage_unavailable", "identity_unavailable"]

interface Outcome {
  answer?: Response
  /** Of the problem in the answer. */
  code?: string
  /** Why there is no answer. */
  failure?: unknown
}

/**
 * For POST it adds an Idempotency-Key, the same on every try: the API creates one task, and answers as it first did. A
 * DELETE that finds nothing left to delete after a try that may have deleted it is answered with 204.
 */
export function sender(tokens: Tokens): (request: Request) => Promise<Response> {
  return async (request) => {
    addKey(request)
    const repeatable = await isRepeatable(request)
    let token = await tokens.get()
    let renewed = false
    let inDoubt = false // whether an earlier try may have been carried out
    for (let tries = 1; ; tries++) {
      const outcome = await send(request, token)
      if (outcome.code === "task_not_found" && inDoubt && request.method === "DELETE") {
        return new Response(null, { status: 204 })
      } else if (outcome.code === "expired_token" && !renewed && tries < TRIES) {
        token = await tokens.renew(token)
        renewed = true
      } else if (outcome.answer?.status === 429 && tries < TRIES) {
        await pause(pauseAfter(tries, outcome.answer), request.signal) // refused before it had any effect
      } else if (isPassing(outcome) && repeatable && tries < TRIES) {
        await pause(pauseAfter(tries, outcome.answer), request.signal)
        inDoubt = true
      } else if (outcome.answer) {
        return outcome.answer
      } else {
        throw outcome.failure
      }
    }
  }
}

/** Unless the caller has given one, to go on with after the page was loaded again. */
function addKey({ method, headers }: Request): void {
  if (method === "POST" && !headers.has("Idempotency-Key")) headers.set("Idempotency-Key", randomKey())
}

/** 128 random bits. Unlike crypto.randomUUID it works on pages of plain http, such as those of a phone in development. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("")
}

/**
 * A completion that does not say which state it wants may toggle, and so may a change in which `completed` and `status`
 * disagree. All else sets, deletes or carries a key.
 */
async function isRepeatable(request: Request): Promise<boolean> {
  if (request.method !== "PUT" && request.method !== "PATCH") return true
  const { completed, status } = JSON.parse((await request.clone().text()) || "{}")
  if (completed === undefined && status === undefined) return !new URL(request.url).pathname.endsWith("/complete")
  return completed === undefined || status === undefined || completed === (status === "complete")
}

async function send(request: Request, token: string): Promise<Outcome> {
  const copy = request.clone()
  copy.headers.set("Authorization", `Bearer ${token}`)
  try {
    const answer = await fetch(copy)
    const text = await answer.clone().text() // to its end, because an answer may break off
    return answer.ok ? { answer } : { answer, code: codeIn(text) }
  } catch (failure) {
    return { failure }
  }
}

function codeIn(text: string): string | undefined {
  try {
    return JSON.parse(text).code
  } catch {
    return undefined // not an answer of the API, but of something in between
  }
}

function isPassing({ answer, code = "" }: Outcome): boolean {
  return !answer || answer.status === 503 || (answer.status === 500 && PASSING.includes(code))
}

/** In milliseconds. */
function pauseAfter(tries: number, answer?: Response): number {
  const asked = Number.parseInt(answer?.headers.get("Retry-After") ?? "", 10)
  const chosen = FIRST_PAUSE * 2 ** (tries - 1) * (1 + Math.random())
  return Math.min(Number.isNaN(asked) ? chosen : asked * 1000, LONGEST_PAUSE)
}

/** Rejects with the signal's reason as soon as it is aborted. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const stop = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop)
      resolve()
    }, milliseconds)
    signal.addEventListener("abort", stop, { once: true })
  })
}
