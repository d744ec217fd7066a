// Drives Debian's Chromium: `node SCRIPT STEPS ARGUMENTS-AS-JSON` prints what the page observed, as JSON.
import { chromium } from "playwright-core"

export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
})

/** Runs the steps that the command line names, with its arguments. */
export async function run(steps) {
  const [name, argument] = process.argv.slice(2)
  try {
    console.log(JSON.stringify(await steps[name](JSON.parse(argument))))
  } finally {
    await browser.close()
  }
}
