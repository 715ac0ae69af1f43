import { useState } from 'react'
import type { Bundle } from '../../../api/types.ts'
import { Button } from '../../../ui/button.tsx'
import { fileAddress } from '../address.ts'
import { canDigest, type DigestResult, verifyDigest } from './digests.ts'

type Results = ReadonlyMap<string, DigestResult>

interface DigestButtonProps {
  readonly bundle: Bundle
  readonly results: Results
  readonly onResults: (results: Results) => void
}

/** Computes every digest in this browser, which trusts the server for nothing but the bytes. */
export function DigestButton({ bundle, results, onResults }: DigestButtonProps) {
  const [busy, setBusy] = useState(false)
  const verifyAll = async () => {
    setBusy(true)
    let done: Results = new Map()
    for (const file of bundle.contents) {
      done = new Map(done).set(file.path, await verifyDigest(fileAddress(bundle.name, file.path), file.sha256))
      onResults(done)
    }
    setBusy(false)
  }
  const wrong = [...results.values()].filter((result) => result !== 'matches').length
  return (
    <div className="no-print flex flex-wrap items-center gap-3 text-xs">
      <span role="status" className={wrong > 0 ? 'font-semibold text-bad' : 'text-ink-2'}>
        {results.size > 0 && `${results.size - wrong} of ${bundle.contents.length} match`}
        {wrong > 0 && `, ${wrong} do not`}
      </span>
      {canDigest() ? (
        <Button small disabled={busy} onClick={() => void verifyAll()}>
          {busy ? 'Computing digests' : 'Verify in this browser'}
        </Button>
      ) : (
        <span className="text-ink-3">Digests in the browser need HTTPS or localhost</span>
      )}
    </div>
  )
}
