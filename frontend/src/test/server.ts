/** The server of the tests: answers what a small data folder would. A test overrides what it is about. */
import { HttpResponse, http } from 'msw'
import { setupServer } from 'msw/node'
import type { Problem } from '../api/types.ts'
import { aBundle, aPreflight, aRun, configs, topologies } from './fixtures.ts'

export const ORIGIN = 'http://localhost:3000'

export function answer(path: string, body: unknown) {
  return http.get(ORIGIN + path, () => HttpResponse.json(body as never))
}

export function refuse(
  method: 'get' | 'post' | 'patch' | 'delete',
  path: string,
  problem: Partial<Problem> & { status: number },
) {
  const body = { title: 'Refused', detail: 'refused', errors: [], findings: [], ...problem }
  return http[method](ORIGIN + path, () => HttpResponse.json(body, { status: problem.status }))
}

/** A bundle's file, given whole or by the part that is asked for. */
export function file(path: string, content: string | Uint8Array<ArrayBuffer>) {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
  return http.get(`${ORIGIN}/evidence/:name/files/${path}`, ({ request }) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get('Range') ?? '') ?? []
    if (from === undefined) return HttpResponse.arrayBuffer(bytes.buffer)
    const part = bytes.slice(Number(from), Number(to) + 1)
    if (part.length === 0) return new HttpResponse(null, { status: 416 })
    const headers = { 'Content-Range': `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}` }
    return HttpResponse.arrayBuffer(part.buffer, { status: 206, headers })
  })
}

export const server = setupServer(
  answer('/runs', { runs: [], total: 0, next_cursor: null }),
  answer('/trash', { runs: [], bytes: 0 }),
  answer('/configs', configs),
  answer('/runs/:id', aRun()),
  answer('/runs/:id/checkpoints', { checkpoints: [] }),
  answer('/runs/:id/evaluations', { evaluations: [] }),
  answer('/runs/:id/samples', { samples: [] }),
  answer('/runs/:id/predictions', { step: null, predictions: [] }),
  answer('/runs/:id/system', { time: [], cpu_percent: [], rss_bytes: [], processes: [] }),
  answer('/runs/:id/log', { offset: 0, next_offset: 0, size: 0, text: '' }),
  answer('/preflights', { preflights: [], total: 0, topologies }),
  answer('/preflights/:id', aPreflight()),
  answer('/preflights/:id/log', { offset: 0, next_offset: 0, size: 0, text: '' }),
  answer('/evidence', { bundles: [] }),
  answer('/evidence/:name', aBundle()),
  answer('/evidence/:name/replays', { replays: [] }),
)
