/** Calls to the server, each answering its data or throwing an error of `problems.ts`. */
import { client } from './gen/client.gen.ts'
import * as sdk from './gen/sdk.gen.ts'
import { importBundle } from './import.ts'
import { OfflineError, refusal } from './problems.ts'
import type { LabelRequest, PreflightRequest, ReplayRequest, RerunRequest, RunRequest } from './types.ts'

client.setConfig({ baseUrl: globalThis.location.origin, headers: { Accept: 'application/json' } })
client.interceptors.error.use((error, response) => {
  if (!response) return isAbort(error) ? error : new OfflineError()
  return refusal(response.status, error)
})

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

async function data<Answer>(call: Promise<{ data: Answer }>): Promise<Answer> {
  return (await call).data
}

export const api = {
  runs: (signal?: AbortSignal) => data(sdk.listRuns({ query: { limit: 1000 }, signal })),
  run: (id: string, signal?: AbortSignal) => data(sdk.showRun({ path: { id }, signal })),
  createRun: (body: RunRequest) => data(sdk.createRun({ body })),
  stopRun: (id: string) => data(sdk.stopRun({ path: { id } })),
  killRun: (id: string) => data(sdk.killRun({ path: { id } })),
  moveRun: (id: string, position: number) => data(sdk.moveRun({ path: { id }, body: { position } })),
  resumeRun: (id: string) => data(sdk.resumeRun({ path: { id } })),
  rerunRun: (id: string, body: RerunRequest) => data(sdk.rerunRun({ path: { id }, body })),
  labelRun: (id: string, body: LabelRequest) => data(sdk.labelRun({ path: { id }, body })),
  deleteRun: (id: string) => data(sdk.deleteRun({ path: { id } })),
  trash: (signal?: AbortSignal) => data(sdk.listTrash({ signal })),
  restoreRun: (id: string) => data(sdk.restoreRun({ path: { id } })),
  purgeRun: (id: string) => data(sdk.purgeRun({ path: { id } })),
  emptyTrash: () => data(sdk.emptyTrash()),
  sealRun: (id: string, name: string) => data(sdk.sealRun({ path: { id }, body: { name } })),
  checkpoints: (id: string) => data(sdk.listCheckpoints({ path: { id } })),
  evaluations: (id: string) => data(sdk.listEvaluations({ path: { id } })),
  samples: (id: string) => data(sdk.listSamples({ path: { id } })),
  predictions: (id: string, step?: number) => data(sdk.listPredictions({ path: { id }, query: { step } })),
  log: (id: string, offset: number) => data(sdk.showLog({ path: { id }, query: { offset, limit_bytes: 1 << 20 } })),
  system: (id: string, signal?: AbortSignal) => data(sdk.showSystem({ path: { id }, signal })),
  configs: () => data(sdk.listConfigs()),
  preflights: (signal?: AbortSignal) => data(sdk.listPreflights({ query: { limit: 200 }, signal })),
  preflight: (id: string, signal?: AbortSignal) => data(sdk.showPreflight({ path: { id }, signal })),
  createPreflight: (body: PreflightRequest) => data(sdk.createPreflight({ body })),
  cancelPreflight: (id: string) => data(sdk.cancelPreflight({ path: { id } })),
  preflightLog: (id: string) => data(sdk.showPreflightLog({ path: { id }, query: { tail_bytes: 16 << 10 } })),
  bundles: () => data(sdk.listEvidence()),
  bundle: (name: string) => data(sdk.showEvidence({ path: { name } })),
  importBundle,
  deleteBundle: (name: string) => data(sdk.removeEvidence({ path: { name } })),
  replays: (name: string) => data(sdk.listReplays({ path: { name } })),
  createReplay: (name: string, body: ReplayRequest) => data(sdk.createReplay({ path: { name }, body })),
  cancelReplay: (id: string) => data(sdk.cancelReplay({ path: { id } })),
}
