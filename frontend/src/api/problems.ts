/**
 * Why a call has no answer.
 *
 *     ApiError      the server refused; carries its problem document
 *     OfflineError  nothing answered
 */
import type { Problem } from './types.ts'

export class ApiError extends Error {
  readonly problem: Problem
  constructor(problem: Problem) {
    super(problem.detail || problem.title)
    this.problem = problem
  }
}

export class OfflineError extends Error {
  constructor() {
    super('The server does not answer. Is it still running?')
  }
}

function isProblem(value: unknown): value is Problem {
  return typeof value === 'object' && value !== null && 'detail' in value && 'errors' in value
}

/** The error of an answer that was no success, whatever its body is. */
export function refusal(status: number, body: unknown): ApiError {
  return new ApiError(isProblem(body) ? body : unexplained(status))
}

function unexplained(status: number): Problem {
  const detail = `The server answered ${status} and did not say why; its log has the details.`
  return { title: `HTTP ${status}`, status, detail, errors: [], findings: [] }
}
