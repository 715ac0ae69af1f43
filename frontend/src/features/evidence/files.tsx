import { CircleCheck, CircleX } from 'lucide-react'
import { useState } from 'react'
import type { Bundle, BundleFile } from '../../api/types.ts'
import { Button } from '../../ui/button.tsx'
import { classes } from '../../ui/classes.ts'
import { CopyButton } from '../../ui/copy.tsx'
import { bytes, count } from '../../ui/format.ts'
import { Panel } from '../../ui/panel.tsx'
import { fileAddress } from './address.ts'
import { canDigest, type DigestResult, verifyDigest } from './digests.ts'

/** Every file with its digest. The digests can be computed here, which trusts the server for nothing but the bytes. */
export function Files({ bundle }: { readonly bundle: Bundle }) {
  const [results, setResults] = useState<ReadonlyMap<string, DigestResult>>(new Map())
  const [busy, setBusy] = useState(false)
  const verifyAll = async () => {
    setBusy(true)
    let done = new Map<string, DigestResult>()
    for (const file of bundle.contents) {
      done = new Map(done).set(file.path, await verifyDigest(fileAddress(bundle.name, file.path), file.sha256))
      setResults(done)
    }
    setBusy(false)
  }
  const wrong = [...results.values()].filter((result) => result !== 'matches').length
  return (
    <Panel
      title={`Files, ${count(bundle.contents.length)}`}
      id="files"
      flush
      aside={
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
      }
    >
      <ul className="relative max-h-[32rem] overflow-y-auto print:max-h-none">
        {bundle.contents.map((file) => (
          <FileRow key={file.path} bundle={bundle.name} file={file} result={results.get(file.path)} />
        ))}
      </ul>
    </Panel>
  )
}

interface FileRowProps {
  readonly bundle: string
  readonly file: BundleFile
  readonly result: DigestResult | undefined
}

function FileRow({ bundle, file, result }: FileRowProps) {
  const wrong = result !== undefined && result !== 'matches'
  return (
    <li
      id={`file-${file.path}`}
      className={classes(
        'grid items-center gap-x-4 border-b border-line px-4 py-1.5 text-sm last:border-0 target:bg-accent-soft sm:grid-cols-[1fr_5rem_13rem]',
        wrong && 'bg-bad-soft',
      )}
    >
      <a
        href={fileAddress(bundle, file.path)}
        className="prose-link inline-flex min-h-6 min-w-0 items-center break-all"
      >
        {file.path}
      </a>
      <span className="text-xs text-ink-3 sm:text-right">{bytes(file.bytes)}</span>
      <span className="flex items-center gap-1 font-mono text-xs text-ink-2" title={file.sha256}>
        {file.sha256.slice(0, 12)}
        <CopyButton iconOnly text={file.sha256} label={`Copy the SHA-256 of ${file.path}`} />
        {result === 'matches' && (
          <span className="flex items-center gap-1 font-sans text-good">
            <CircleCheck aria-hidden size={14} /> matches
          </span>
        )}
        {wrong && (
          <span className="flex items-center gap-1 font-sans font-semibold text-bad">
            <CircleX aria-hidden size={14} /> {result}
          </span>
        )}
      </span>
    </li>
  )
}
