// Drives Debian's Chromium and prints what a page could see, as JSON: `node browser.mjs STEPS ARGUMENTS-AS-JSON`.
import { chromium } from "playwright-core"

const [steps, argument] = process.argv.slice(2)
const given = JSON.parse(argument)
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
})

// Runs in the page: asks, and tells everything that the page can read of the answer.
async function ask([url, { method = "GET", body, headers = {} } = {}]) {
  try {
    const answer = await fetch(url, { method, body, headers, credentials: "include" })
    const text = await answer.text()
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: text ? JSON.parse(text) : null }
  } catch (failure) {
    return { failed: failure.name }
  }
}

// Runs in the page: signs up at Better Auth and gets a JWT, as a frontend does.
async function signUp(email) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, credentials: "include" }
  const body = JSON.stringify({ email, password: "correct horse battery", name: "Someone" })
  const { user } = await (await fetch("/api/auth/sign-up/email", { ...post, body })).json()
  const { token } = await (await fetch("/api/auth/token", { credentials: "include" })).json()
  return { user: user.id, token }
}

async function frontend({ page: address, api, away, email }) {
  const page = await browser.newPage()
  await page.goto(address)
  const { user, token } = await page.evaluate(signUp, email)
  const authorised = { Authorization: `Bearer ${token}` }
  const json = { ...authorised, "Content-Type": "application/json" }
  const send = (path, method, body, headers = json) =>
    page.evaluate(ask, [path.startsWith("http") ? path : api + path, { method, body: body && JSON.stringify(body), headers }])
  const seen = { user, token }
  for (const [name, tasks] of [["first", "/api/tasks"], ["second", `/api/${user}/tasks`]]) {
    const created = await send(tasks, "POST", { title: "Buy milk" })
    const location = created.headers.location
    seen[name] = {
      created,
      read: await send(location, "GET"),
      put: await send(location, "PUT", { title: "Buy tea" }),
      patched: await send(location, "PATCH", { description: "Green" }),
      completed: await send(`${location}/complete`, "PATCH", undefined, authorised),
      listed: await send(`${tasks}?status=completed`, "GET", undefined, authorised),
      deleted: await send(location, "DELETE", undefined, authorised),
      gone: await send(location, "GET", undefined, authorised),
      anonymous: await send(tasks, "GET", undefined, {}),
      invalid: await send(tasks, "POST", { title: "" }),
      large: await send(tasks, "POST", { title: "x".repeat(70_000) }),
      unavailable: await send(away + tasks, "GET"),
      named: await send(tasks, "GET", undefined, { ...authorised, "X-Request-ID": "from-the-page" }),
    }
  }
  seen.foreign = await send("/api/somebody-else/tasks", "GET")
  seen.method = await send("/api/tasks", "DELETE", undefined, authorised)
  return seen
}

async function stranger({ page: address, api, token }) {
  const page = await browser.newPage()
  await page.goto(address)
  const headers = { Authorization: `Bearer ${token}` }
  return {
    origin: await page.evaluate(() => location.origin),
    simple: await page.evaluate(ask, [`${api}/healthz`]),
    read: await page.evaluate(ask, [`${api}/api/tasks`, { headers }]),
    written: await page.evaluate(ask, [`${api}/api/tasks`, { method: "POST", headers, body: '{"title": "x"}' }]),
  }
}

// `files` says which file is at which path, `modules` at which path the page finds what it imports. Playwright answers
// preflights itself while anything is routed, so nothing is when the page goes to work.
async function typedClient({ page: address, api, email, files, modules }) {
  const page = await browser.newPage()
  for (const [path, file] of Object.entries(files)) {
    await page.route(address + path, (route) => route.fulfill({ path: file }))
  }
  await page.goto(address)
  const { user } = await page.evaluate(signUp, email)
  await page.addScriptTag({ type: "importmap", content: JSON.stringify({ imports: modules }) })
  await page.evaluate(async () => void (window.frontend = await import("/page.js")))
  await page.unrouteAll()
  const seen = await page.evaluate((api) => window.frontend.day(api), api)
  return { ...seen, user }
}

async function docs({ api, token, screenshot }) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 1400 } })
  const asked = [], complaints = []
  page.on("request", (request) => asked.push(request.url()))
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()))
  page.on("pageerror", (failure) => complaints.push(String(failure)))
  await page.goto(`${api}/docs`)
  await page.getByRole("button", { name: "Authorize" }).first().click()
  await page.locator(".auth-container input").fill(token)
  await page.locator(".modal-ux").getByRole("button", { name: "Apply credentials" }).click()
  await page.locator(".modal-ux .modal-btn.btn-done").click()
  const operation = page.locator(".opblock-post", { has: page.locator('[data-path="/api/tasks"]') })
  await operation.locator(".opblock-summary").click()
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.url().endsWith("/api/tasks")),
    operation.getByRole("button", { name: "Execute" }).click(),
  ])
  await operation.locator(".live-responses-table .response-col_status").first().waitFor()
  await operation.scrollIntoViewIfNeeded()
  await page.screenshot({ path: screenshot })
  return { status: answer.status(), created: await answer.json(), asked, complaints }
}

try {
  console.log(JSON.stringify(await { frontend, stranger, typedClient, docs }[steps](given)))
} finally {
  await browser.close()
}
