/**
 * Calls to the server, each answering its data or throwing.
 *
 *     ApiError      the server refused; carries its problem document
 *     OfflineError  nothing answered
 */
import { client } from './gen/client.gen.ts'
import * as sdk from './gen/sdk.gen.ts'
import type { PreflightRequest, Problem, RunRequest } from './types.ts'

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

client.setConfig({ baseUrl: globalThis.location.origin, headers: { Accept: 'application/json' } })
client.interceptors.error.use((error, response) => {
  if (!response) return isAbort(error) ? error : new OfflineError()
  return new ApiError(isProblem(error) ? error : unexplained(response.status))
})

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

function isProblem(value: unknown): value is Problem {
  return typeof value === 'object' && value !== null && 'detail' in value && 'errors' in value
}

function unexplained(status: number): Problem {
  const detail = `The server answered ${status} and did not say why; its log has the details.`
  return { title: `HTTP ${status}`, status, detail, errors: [], findings: [] }
}

async function data<Answer>(call: Promise<{ data: Answer }>): Promise<Answer> {
  return (await call).data
}

export const api = {
  runs: (signal?: AbortSignal) => data(sdk.listRuns({ query: { limit: 1000 }, signal })),
  run: (id: string, signal?: AbortSignal) => data(sdk.showRun({ path: { id }, signal })),
  createRun: (body: RunRequest) => data(sdk.createRun({ body })),
  stopRun: (id: string) => data(sdk.stopRun({ path: { id } })),
  sealRun: (id: string, name: string) => data(sdk.sealRun({ path: { id }, body: { name } })),
  checkpoints: (id: string) => data(sdk.listCheckpoints({ path: { id } })),
  evaluations: (id: string) => data(sdk.listEvaluations({ path: { id } })),
  samples: (id: string) => data(sdk.listSamples({ path: { id } })),
  predictions: (id: string, step?: number) => data(sdk.listPredictions({ path: { id }, query: { step } })),
  log: (id: string, offset: number) => data(sdk.showLog({ path: { id }, query: { offset, limit_bytes: 1 << 20 } })),
  configs: () => data(sdk.listConfigs()),
  preflights: (signal?: AbortSignal) => data(sdk.listPreflights({ query: { limit: 200 }, signal })),
  preflight: (id: string, signal?: AbortSignal) => data(sdk.showPreflight({ path: { id }, signal })),
  createPreflight: (body: PreflightRequest) => data(sdk.createPreflight({ body })),
  cancelPreflight: (id: string) => data(sdk.cancelPreflight({ path: { id } })),
  preflightLog: (id: string) => data(sdk.showPreflightLog({ path: { id }, query: { tail_bytes: 16 << 10 } })),
  bundles: () => data(sdk.listEvidence()),
  bundle: (name: string) => data(sdk.showEvidence({ path: { name } })),
}
