// The page of `examples/nextjs` in Chromium: who opens it, and what is on it.
import { browser } from "./chromium.mjs"

export const PASSWORD = "correct horse battery"

/** A page of a user who has just signed up. Better Auth limits sign-ups per address, so each user has one of their own. */
export async function signedIn({ origin, email, ip }, options) {
  const context = await browser.newContext(options)
  await context.request.post(`${origin}/api/auth/sign-up/email`, {
    data: { email, password: PASSWORD, name: "A user" },
    headers: { Origin: origin, "X-Forwarded-For": ip },
  })
  const page = await context.newPage()
  await page.goto(origin)
  return page
}

/** The same user elsewhere: sends requests to the API past the page. */
export async function elsewhere(page, { origin, api }) {
  const { token } = await (await page.context().request.get(`${origin}/api/auth/token`)).json()
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" }
  return async (method, path, body) => {
    const response = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) })
    return response.status === 204 ? null : response.json()
  }
}

export const items = (page) => page.locator(".tasks > li")
export const titles = (page) => page.locator(".tasks label > span").evaluateAll((spans) => spans.map((s) => s.firstChild.data))
export const box = (page, name) => page.getByRole("checkbox", { name })
export const button = (page, name) => page.getByRole("button", { name, exact: true })
export const alerts = (within) => within.locator(".error[role=alert]") // Next.js has an announcer of its own

/** Clicks the box. React shows the change a moment later. */
export async function tick(page, name) {
  await box(page, name).click()
  await box(page, name).and(page.locator(":checked")).waitFor()
}

export async function add(page, title) {
  await page.getByLabel("New task").fill(title)
  await button(page, "Add").click()
  await box(page, title).waitFor()
}
