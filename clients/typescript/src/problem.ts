/** Error responses as exceptions. */
import type { components } from "./schema.js"

export type Problem = components["schemas"]["Problem"]

/** An error response of the API. The message is for people: the reason of the first fault. */
export class ProblemError extends Error {
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.detail)
    this.name = "ProblemError"
    this.problem = problem
  }

  get code(): Problem["code"] {
    return this.problem.code
  }

  get status(): number {
    return this.problem.status
  }
}

/** The data of a response. Throws ProblemError if it is an error. */
export function unwrap<Data>({ data, error }: { data?: Data; error?: Problem }): Data {
  if (error) throw new ProblemError(error)
  return data as Data
}
