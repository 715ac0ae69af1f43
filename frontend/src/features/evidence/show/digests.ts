/** Recomputing a file's digest in this browser, from the bytes that this page links to. */

export type DigestResult = 'matches' | 'differs' | 'unreadable'

/** Browsers offer their digests on secure pages only: HTTPS, or this very machine. */
export function canDigest(): boolean {
  return globalThis.crypto?.subtle !== undefined
}

export async function verifyDigest(address: string, sha256: string): Promise<DigestResult> {
  try {
    const answer = await fetch(address)
    if (!answer.ok) return 'unreadable'
    const digest = await crypto.subtle.digest('SHA-256', await answer.arrayBuffer())
    return hex(digest) === sha256 ? 'matches' : 'differs'
  } catch {
    return 'unreadable'
  }
}

function hex(digest: ArrayBuffer): string {
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
