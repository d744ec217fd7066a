// What a user of `examples/nextjs` does and sees. Pages are opened as `origin`, the API as `api`.
import axe from "axe-core"
import { browser, run } from "./chromium.mjs"
import { add, alerts, box, button, elsewhere, items, PASSWORD, signedIn, tick, titles } from "./nextjs_page.mjs"

const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true }

async function firstVisit({ origin, email, screenshot }) {
  const context = await browser.newContext({ viewport: { width: 760, height: 420 } })
  const page = await context.newPage()
  const requests = [], errors = []
  page.on("request", (request) => requests.push(new URL(request.url()).origin))
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()))
  page.on("pageerror", (error) => errors.push(String(error)))

  await page.goto(origin)
  await button(page, "Create an account").click()
  await page.getByLabel("Name").fill("A user")
  await page.getByLabel("E-mail").fill(email)
  await page.getByLabel("Password").fill(PASSWORD)
  await button(page, "Sign up").click()
  await page.getByRole("status").filter({ hasText: "No tasks." }).waitFor()

  for (const title of ["Water the plants", "Call Bob", "Buy milk"]) await add(page, title)
  const added = await titles(page)
  await button(page, "Edit Buy milk").click()
  await page.getByLabel("Title").fill("Buy oat milk")
  await page.getByLabel("Description").fill("Two litres")
  await button(page, "Save").click()
  await box(page, "Buy oat milk Two litres").waitFor()
  const listed = page.waitForResponse((response) => response.url().includes("/api/tasks?"))
  await tick(page, "Call Bob")
  await listed
  await page.screenshot({ path: screenshot })
  await button(page, "Delete Water the plants").click()
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click()
  await items(page).nth(2).waitFor({ state: "detached" })
  const remaining = await titles(page)

  await button(page, "Sign out").click()
  await page.getByRole("heading", { name: "Sign in" }).waitFor()
  await page.getByLabel("E-mail").fill(email)
  await page.getByLabel("Password").fill("something else")
  await button(page, "Sign in").click()
  const refused = await alerts(page).textContent()
  const errorsBefore = errors.splice(0).filter((text) => !text.includes("401"))
  await page.getByLabel("Password").fill(PASSWORD)
  await button(page, "Sign in").click()
  await box(page, "Call Bob").waitFor()
  return {
    added, remaining, refused,
    afterSigningInAgain: await titles(page),
    completed: await box(page, "Call Bob").isChecked(),
    origins: [...new Set(requests)],
    errors: [...errorsBefore, ...errors],
  }
}

async function toggle(given) {
  const page = await signedIn(given)
  await add(page, "Buy milk")
  const milk = box(page, "Buy milk")
  // The request is held back until the page shows the change. Then the connection is lost, so no list comes either.
  let fail
  const held = new Promise((resolve) => (fail = resolve))
  await page.route(`${given.api}/**`, async (route) => {
    await held
    await route.abort()
  })
  await tick(page, "Buy milk")
  fail()
  const message = await alerts(items(page)).textContent()
  const afterFailure = await milk.isChecked()
  await page.unrouteAll()
  const listed = page.waitForResponse((response) => response.url().includes("/api/tasks?"))
  await tick(page, "Buy milk")
  await listed
  await alerts(items(page)).waitFor({ state: "detached" })
  return { message, afterFailure, afterSuccess: await milk.isChecked() }
}

async function conflict(given) {
  const page = await signedIn(given)
  const request = await elsewhere(page, given)
  await add(page, "Buy milk")
  const [{ id }] = await request("GET", "/api/tasks")
  const dialog = page.getByRole("dialog")

  await button(page, "Delete Buy milk").click()
  await dialog.getByText("Delete “Buy milk”?").waitFor()
  await request("PATCH", `/api/tasks/${id}`, { title: "Buy oat milk" })
  await dialog.getByRole("button", { name: "Delete" }).click()
  const notDeleted = await alerts(page).textContent()
  await dialog.getByText("Delete “Buy oat milk”?").waitFor()
  await page.keyboard.press("Escape")
  await dialog.waitFor({ state: "detached" })
  const focus = await page.evaluate(() => document.activeElement.getAttribute("aria-label"))

  await button(page, "Edit Buy oat milk").click()
  await page.getByLabel("Title").fill("Buy tea")
  await request("PATCH", `/api/tasks/${id}`, { title: "Buy coffee" })
  await button(page, "Save").click()
  const notSaved = await alerts(page).textContent()
  await dialog.getByText("It is now “Buy coffee”.").waitFor()
  const [{ title: untouched }] = await request("GET", "/api/tasks")
  await button(page, "Save").click()
  await dialog.waitFor({ state: "detached" })
  await box(page, "Buy tea").waitFor()
  return { notDeleted, focus, notSaved, untouched, saved: (await request("GET", "/api/tasks")).map((task) => task.title) }
}

async function find(given) {
  const page = await signedIn(given)
  const request = await elsewhere(page, given)
  for (let n = 1; n <= 45; n++) await request("POST", "/api/tasks", { title: `Task ${n}`, completed: n % 9 === 0 })
  await page.reload()
  const counts = []
  const more = button(page, "Show more")
  for (const length of [20, 40, 45]) {
    await items(page).nth(length - 1).waitFor()
    counts.push(await items(page).count())
    if (await more.count()) await more.click()
  }
  const [newest] = await titles(page)
  await page.getByRole("radio", { name: "Done" }).check()
  await items(page).nth(5).waitFor({ state: "detached" })
  const done = await titles(page)
  await page.getByRole("radio", { name: "All" }).check()
  await page.getByLabel("Search").fill("task 4")
  await items(page).nth(7).waitFor({ state: "detached" })
  return { counts, newest, done, found: await titles(page) }
}

async function errors(given) {
  const page = await signedIn(given)
  await page.getByLabel("New task").fill("x".repeat(201))
  await button(page, "Add").click()
  const invalid = await alerts(page).textContent()
  const kept = await page.getByLabel("New task").inputValue()
  await page.route(`${given.api}/**`, (route) => route.abort())
  await page.reload()
  const unreachable = await alerts(page).textContent()
  return { invalid, kept: kept.length, unreachable }
}

/** The rules that each screen violates, and by how many pixels it is too wide. */
async function phone(given) {
  const page = await signedIn(given, { ...PHONE, colorScheme: given.colorScheme })
  await page.addInitScript(axe.source)
  await page.reload()
  const check = () =>
    page.evaluate(async () => {
      const { violations } = await window.axe.run()
      const { scrollWidth, clientWidth } = document.documentElement
      return { violations: violations.map(({ id, nodes }) => [id, nodes[0].html]), overflow: scrollWidth - clientWidth }
    })
  await add(page, "Buy milk")
  await add(page, "x".repeat(200))
  await tick(page, "Buy milk")
  const seen = { board: await check() }
  await button(page, "Edit Buy milk").click()
  await page.getByLabel("Title").waitFor()
  seen.edit = await check()
  await button(page, "Cancel").click()
  await button(page, "Delete Buy milk").click()
  await page.getByText("Delete “Buy milk”?").waitFor()
  seen.delete = await check()
  await button(page, "Cancel").click()
  await button(page, "Sign out").click()
  await page.getByRole("heading", { name: "Sign in" }).waitFor()
  seen.signIn = await check()
  return seen
}

await run({ firstVisit, toggle, conflict, find, errors, phone })
