import { ChevronRight, CircleCheck, CircleX, ExternalLink } from 'lucide-react'
import { type ReactNode, useEffect, useState } from 'react'
import type { Bundle, BundleFile } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { CopyButton } from '../../../ui/copy.tsx'
import { bytes, count } from '../../../ui/format.ts'
import { Panel } from '../../../ui/panel.tsx'
import { type FilePlace, fileAddress, placeOf } from '../address.ts'
import { useAnchor } from './anchor.ts'
import { DigestButton } from './digest-button.tsx'
import type { DigestResult } from './digests.ts'
import { Preview } from './preview/preview.tsx'
import { usePrinting } from './printing.ts'

/** Every file with its digest, by folder; each can be read in its place. */
export function Files({ bundle }: { readonly bundle: Bundle }) {
  const [results, setResults] = useState<ReadonlyMap<string, DigestResult>>(new Map())
  const [words, setWords] = useState('')
  const place = placeOf(
    useAnchor(),
    bundle.contents.map((file) => file.path),
  )
  const wanted = words.trim().toLowerCase()
  const files = bundle.contents.filter((file) => file.path.toLowerCase().includes(wanted) || file.path === place?.path)
  const folders = Map.groupBy(files, (file) => file.path.slice(0, file.path.indexOf('/') + 1))
  const list = (items: readonly BundleFile[]) => (
    <ul>
      {items.map((file) => (
        <FileRow
          key={file.path}
          bundle={bundle.name}
          file={file}
          result={results.get(file.path)}
          place={place?.path === file.path ? place : undefined}
        />
      ))}
    </ul>
  )
  return (
    <Panel
      title={`Files, ${count(bundle.contents.length)}`}
      id="files"
      flush
      aside={<DigestButton bundle={bundle} results={results} onResults={setResults} />}
    >
      <div className="no-print border-b border-line px-4 py-2">
        <input
          type="search"
          aria-label="Filter files"
          placeholder="Filter by name"
          value={words}
          className="field max-w-sm text-sm"
          onChange={(event) => setWords(event.target.value)}
        />
      </div>
      {files.length === 0 && <p className="px-4 py-3 text-sm text-ink-2">No file has such a name.</p>}
      {list(folders.get('') ?? [])}
      {[...folders]
        .filter(([folder]) => folder)
        .map(([folder, items]) => (
          <Folder
            key={folder}
            name={folder}
            files={items}
            open={wanted !== '' || !!place?.path.startsWith(folder)}
            wrong={items.some((file) => (results.get(file.path) ?? 'matches') !== 'matches')}
          >
            {list(items)}
          </Folder>
        ))}
    </Panel>
  )
}

interface FolderProps {
  readonly name: string
  readonly files: readonly BundleFile[]
  /** Something in it is looked for. */
  readonly open: boolean
  readonly wrong: boolean
  readonly children: ReactNode
}

function Folder({ name, files, open, wrong, children }: FolderProps) {
  const printing = usePrinting()
  const [chosen, setChosen] = useState(false)
  useEffect(() => {
    if (open) setChosen(true)
  }, [open])
  const shown = chosen || open || wrong || printing
  return (
    <section aria-label={`Folder ${name}`} className="border-t border-line first:border-0">
      <button
        type="button"
        aria-expanded={shown}
        onClick={() => setChosen(!shown)}
        className="flex min-h-10 w-full items-center gap-3 px-4 text-left text-sm hover:bg-hover"
      >
        <ChevronRight aria-hidden size={15} className={classes('text-ink-3', shown && 'rotate-90')} />
        <span className="font-medium">{name}</span>
        <span className="ml-auto text-xs text-ink-3">
          {count(files.length)} {files.length === 1 ? 'file' : 'files'},{' '}
          {bytes(files.reduce((sum, file) => sum + file.bytes, 0))}
        </span>
      </button>
      {shown && <div className="border-t border-line">{children}</div>}
    </section>
  )
}

interface FileRowProps {
  readonly bundle: string
  readonly file: BundleFile
  readonly result: DigestResult | undefined
  /** What the address points at, if it is in this file. */
  readonly place: FilePlace | undefined
}

function FileRow({ bundle, file, result, place }: FileRowProps) {
  const wrong = result !== undefined && result !== 'matches'
  const address = fileAddress(bundle, file.path)
  const [open, setOpen] = useState(false)
  const pointed = place && `${place.path} ${place.line} ${place.member}`
  useEffect(() => {
    if (pointed) setOpen(true)
  }, [pointed])
  return (
    <li
      id={`file-${file.path}`}
      className={classes('border-b border-line last:border-0', place && 'bg-accent-soft', wrong && 'bg-bad-soft')}
    >
      <div className="grid items-center gap-x-4 px-4 py-1 text-sm sm:grid-cols-[1fr_5rem_15rem]">
        <span className="min-w-0">
          <button
            type="button"
            aria-expanded={open}
            aria-label={`Preview ${file.path}`}
            onClick={() => setOpen(!open)}
            className="inline-flex min-h-6 min-w-0 items-center gap-2 text-left break-all hover:text-accent"
          >
            <ChevronRight aria-hidden size={13} className={classes('shrink-0 text-ink-3', open && 'rotate-90')} />
            {file.path}
          </button>
          <span className="print-only block text-2xs break-all">{new URL(address, location.href).href}</span>
        </span>
        <span className="text-xs text-ink-3 max-sm:hidden sm:text-right">{bytes(file.bytes)}</span>
        <span className="flex items-center gap-1 font-mono text-xs text-ink-2">
          <a
            href={address}
            aria-label={`Open ${file.path}`}
            title="Open the file itself"
            className="no-print grid size-7 shrink-0 place-items-center rounded-md text-ink-3 hover:bg-hover hover:text-ink"
          >
            <ExternalLink aria-hidden size={14} />
          </a>
          <span title={file.sha256}>
            <span className="print-hidden">{file.sha256.slice(0, 12)}</span>
            <span className="print-only break-all">{file.sha256}</span>
          </span>
          <span className="no-print">
            <CopyButton iconOnly text={file.sha256} label={`Copy the SHA-256 of ${file.path}`} />
          </span>
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
      </div>
      {open && <Preview bundle={bundle} file={file} place={place} />}
    </li>
  )
}
