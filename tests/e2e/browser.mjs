// Pages on other origins than the API, and `/docs`.
import { browser, run } from "./chromium.mjs"

// Runs in the page: sends a request, and returns everything that the page can read of the response.
async function send([url, { method = "GET", body, headers = {} } = {}]) {
  try {
    const response = await fetch(url, { method, body, headers, credentials: "include" })
    const text = await response.text()
    return { status: response.status, headers: Object.fromEntries(response.headers), body: text ? JSON.parse(text) : null }
  } catch (failure) {
    return { failed: failure.name }
  }
}

// Runs in the page: signs up at Better Auth and gets a JWT, as a frontend does.
async function signUp([email, auth = "/api/auth"]) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, credentials: "include" }
  const body = JSON.stringify({ email, password: "correct horse battery", name: "Someone" })
  const { user } = await (await fetch(`${auth}/sign-up/email`, { ...post, body })).json()
  const { token } = await (await fetch(`${auth}/token`, { credentials: "include" })).json()
  return { user: user.id, token }
}

async function frontend({ page: address, api, without_database: withoutDatabase, email, auth }) {
  const page = await browser.newPage()
  await page.goto(address)
  const { user, token } = await page.evaluate(signUp, [email, auth])
  const authorised = { Authorization: `Bearer ${token}` }
  const json = { ...authorised, "Content-Type": "application/json" }
  const sendFromPage = (path, method, body, headers = json) =>
    page.evaluate(send, [path.startsWith("http") ? path : api + path, { method, body: body && JSON.stringify(body), headers }])
  const observed = { user, token }
  for (const [name, tasks] of [["first", "/api/tasks"], ["second", `/api/${user}/tasks`]]) {
    const created = await sendFromPage(tasks, "POST", { title: "Buy milk" })
    const location = created.headers.location
    observed[name] = {
      created,
      read: await sendFromPage(location, "GET"),
      put: await sendFromPage(location, "PUT", { title: "Buy tea" }),
      patched: await sendFromPage(location, "PATCH", { description: "Green" }),
      completed: await sendFromPage(`${location}/complete`, "PATCH", undefined, authorised),
      listed: await sendFromPage(`${tasks}?status=completed`, "GET", undefined, authorised),
      deleted: await sendFromPage(location, "DELETE", undefined, authorised),
      gone: await sendFromPage(location, "GET", undefined, authorised),
      anonymous: await sendFromPage(tasks, "GET", undefined, {}),
      invalid: await sendFromPage(tasks, "POST", { title: "" }),
      large: await sendFromPage(tasks, "POST", { title: "x".repeat(70_000) }),
      unavailable: await sendFromPage(withoutDatabase + tasks, "GET"),
      named: await sendFromPage(tasks, "GET", undefined, { ...authorised, "X-Request-ID": "from-the-page" }),
    }
  }
  observed.foreign = await sendFromPage("/api/somebody-else/tasks", "GET")
  observed.method = await sendFromPage("/api/tasks", "DELETE", undefined, authorised)
  return observed
}

async function disallowedOrigin({ page: address, api, token }) {
  const page = await browser.newPage()
  await page.goto(address)
  const headers = { Authorization: `Bearer ${token}` }
  return {
    origin: await page.evaluate(() => location.origin),
    simple: await page.evaluate(send, [`${api}/healthz`]),
    read: await page.evaluate(send, [`${api}/api/tasks`, { headers }]),
    written: await page.evaluate(send, [`${api}/api/tasks`, { method: "POST", headers, body: '{"title": "x"}' }]),
  }
}

// `files` maps paths to files, `modules` maps import specifiers to paths. Playwright responds to preflights itself
// while any route is active, so the routes are removed before the client is used.
async function typedClient({ page: address, api, email, files, modules }) {
  const page = await browser.newPage()
  for (const [path, file] of Object.entries(files)) {
    await page.route(address + path, (route) => route.fulfill({ path: file }))
  }
  await page.goto(address)
  const { user } = await page.evaluate(signUp, [email])
  await page.addScriptTag({ type: "importmap", content: JSON.stringify({ imports: modules }) })
  await page.evaluate(async () => void (window.frontend = await import("/page.js")))
  await page.unrouteAll()
  const observed = await page.evaluate((api) => window.frontend.useClient(api), api)
  return { ...observed, user }
}

// The page of the client's README, in use: offline for a while, and with a task that somebody else deletes.
async function readme({ page: address }) {
  const context = await browser.newContext()
  const page = await context.newPage()
  let tokens = 0
  page.on("request", (request) => (tokens += request.url().endsWith("/api/auth/token")))
  await page.goto(address)
  const titles = () => page.locator("li label").allTextContents().then((texts) => texts.map((text) => text.trim()))
  const add = async (title) => {
    await page.getByLabel("New task").fill(title)
    await page.getByRole("button", { name: "Add" }).click()
  }
  await add("")
  const refused = await page.getByRole("alert").textContent()
  for (const title of ["Buy milk", "Buy bread"]) {
    await add(title)
    await page.getByText(title).waitFor()
  }
  const added = await titles()
  const box = page.getByLabel("Buy milk")
  const saved = page.waitForResponse((response) => response.url().endsWith("/complete") && response.ok())
  await box.click()
  await saved
  await page.reload()
  await box.waitFor()
  const checked = { "after reload": await box.isChecked() }
  await context.setOffline(true)
  await box.click()
  await page.getByRole("checkbox", { name: "Buy milk", checked: false }).waitFor() // though nothing can be sent
  checked.offline = await box.isChecked()
  const sent = page.waitForResponse((response) => response.url().endsWith("/complete") && response.ok())
  await context.setOffline(false)
  await sent
  checked["online again"] = await box.isChecked()
  await page.getByRole("listitem").filter({ hasText: "Buy bread" }).getByRole("button").click()
  await page.getByText("Buy bread").waitFor({ state: "detached" })
  const creation = page.waitForResponse((response) => response.status() === 201)
  await add("Buy tea")
  const created = await creation
  await page.getByText("Buy tea").waitFor()
  await page.evaluate(async (url) => {
    const { token } = await (await fetch("/api/auth/token")).json()
    await fetch(url, { method: "DELETE", headers: { Authorization: `Bearer ${token}` } })
  }, `${created.url()}/${(await created.json()).id}`)
  await page.getByLabel("Buy tea").click()
  const gone = await page.getByRole("alert").textContent()
  await page.getByText("Buy tea").waitFor({ state: "detached" })
  return { refused, added, checked, gone, left: await titles(), tokens }
}

async function docs({ api, token, screenshot }) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 1400 } })
  const requests = [], errors = []
  page.on("request", (request) => requests.push(request.url()))
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && errors.push(message.text()))
  page.on("pageerror", (failure) => errors.push(String(failure)))
  await page.goto(`${api}/docs`)
  await page.getByRole("button", { name: "Authorize" }).first().click()
  await page.locator(".auth-container input").fill(token)
  await page.locator(".modal-ux").getByRole("button", { name: "Apply credentials" }).click()
  await page.locator(".modal-ux .modal-btn.btn-done").click()
  const operation = page.locator(".opblock-post", { has: page.locator('[data-path="/api/tasks"]') })
  await operation.locator(".opblock-summary").click()
  const [response] = await Promise.all([
    page.waitForResponse((response) => response.url().endsWith("/api/tasks")),
    operation.getByRole("button", { name: "Execute" }).click(),
  ])
  await operation.locator(".live-responses-table .response-col_status").first().waitFor()
  await operation.scrollIntoViewIfNeeded()
  await page.screenshot({ path: screenshot })
  return { status: response.status(), created: await response.json(), requests, errors }
}

await run({ frontend, disallowedOrigin, typedClient, readme, docs })
