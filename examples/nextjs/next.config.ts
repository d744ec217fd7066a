import { join } from "node:path"
import type { NextConfig } from "next"

const config: NextConfig = {
  // The typed client is linked from ../../clients, and Turbopack reads nothing outside its root.
  turbopack: { root: join(import.meta.dirname, "../..") },
}

export default config
