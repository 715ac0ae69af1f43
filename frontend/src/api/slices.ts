/** A file piece by piece, so that a large one is never read whole to show its beginning. */
import { OfflineError, refusal } from './problems.ts'

export const SLICE_BYTES = 1 << 19

export interface Slice {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Where the next one begins; undefined behind the last. */
  readonly next: number | undefined
}

export async function readSlice(address: string, offset: number, signal?: AbortSignal): Promise<Slice> {
  const headers = { Range: `bytes=${offset}-${offset + SLICE_BYTES - 1}` }
  const answer = await fetch(address, { headers, signal }).catch((error: unknown) => {
    throw signal?.aborted ? error : new OfflineError()
  })
  if (answer.status === 416) return { bytes: new Uint8Array(), next: undefined }
  if (!answer.ok) throw refusal(answer.status, await answer.json().catch(() => undefined))
  const bytes = new Uint8Array(await answer.arrayBuffer())
  if (answer.status !== 206) return { bytes: bytes.subarray(offset), next: undefined }
  const size = Number(answer.headers.get('Content-Range')?.split('/')[1])
  const end = offset + bytes.length
  return { bytes, next: end < size ? end : undefined }
}

/** A small JSON file, whole. */
export async function readDocument(address: string, signal?: AbortSignal): Promise<unknown> {
  const answer = await fetch(address, { signal }).catch((error: unknown) => {
    throw signal?.aborted ? error : new OfflineError()
  })
  if (!answer.ok) throw refusal(answer.status, await answer.json().catch(() => undefined))
  return answer.json()
}
