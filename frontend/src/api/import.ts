/** Sending a bundle that was made elsewhere: a zip, with word of how much of it is gone. */
import { OfflineError, refusal } from './problems.ts'
import type { BundleSummary } from './types.ts'

/** `onSent`: the share that has left, from 0 to 1. The server verifies once all is there, which takes its time. */
export function importBundle(zip: Blob, onSent: (share: number) => void): Promise<BundleSummary> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('POST', `${location.origin}/evidence`)
    request.setRequestHeader('Content-Type', 'application/zip')
    request.setRequestHeader('Accept', 'application/json')
    request.upload.addEventListener('progress', (event) => {
      if (event.lengthComputable) onSent(event.loaded / event.total)
    })
    request.addEventListener('error', () => reject(new OfflineError()))
    request.addEventListener('load', () => {
      const body = document(request.responseText)
      if (request.status === 201) resolve(body as BundleSummary)
      else reject(refusal(request.status, body))
    })
    request.send(zip)
  })
}

function document(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
