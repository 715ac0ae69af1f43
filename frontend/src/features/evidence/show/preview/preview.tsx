import { useState } from 'react'
import type { BundleFile } from '../../../../api/types.ts'
import { bytes } from '../../../../ui/format.ts'
import { Segmented } from '../../../../ui/segmented.tsx'
import { type FilePlace, fileAddress } from '../../address.ts'
import { JsonTree } from './json-tree.tsx'
import { ROWS_AT_ONCE, RowsPreview } from './rows-preview.tsx'
import { LINES_AT_ONCE, TextPreview, usePage } from './text-preview.tsx'
import { useLines } from './use-lines.ts'

/** Above this a document is shown as it is written: a browser would be long at folding it. */
const LARGEST_TREE_BYTES = 2 << 20

interface PreviewProps {
  readonly bundle: string
  readonly file: BundleFile
  readonly place?: FilePlace
}

/** A file's content where it is listed: documents fold, rows are a table, all else is numbered lines. */
export function Preview({ bundle, file, place }: PreviewProps) {
  const structured = kindOf(file)
  const [look, setLook] = useState<'read' | 'written'>('read')
  const asWritten = look === 'written' || !structured
  return (
    <div className="grid grid-cols-1 gap-2 bg-sunken px-3 py-3 sm:px-4">
      {structured && (
        <div className="no-print">
          <Segmented
            label={`How ${file.path} is shown`}
            value={look}
            options={[
              { value: 'read', label: structured === 'rows' ? 'Table' : 'Tree' },
              { value: 'written', label: 'As written' },
            ]}
            onChange={setLook}
          />
        </div>
      )}
      <Content bundle={bundle} file={file} place={place} look={asWritten ? 'text' : structured} />
    </div>
  )
}

type Look = 'tree' | 'rows' | 'text'

function kindOf(file: BundleFile): 'tree' | 'rows' | undefined {
  if (file.path.endsWith('.jsonl')) return 'rows'
  return file.path.endsWith('.json') && file.bytes <= LARGEST_TREE_BYTES ? 'tree' : undefined
}

interface ContentProps extends PreviewProps {
  readonly look: Look
}

function Content({ bundle, file, place, look }: ContentProps) {
  const size = look === 'rows' ? ROWS_AT_ONCE : LINES_AT_ONCE
  const [page, setPage] = usePage(size, place?.line)
  const address = fileAddress(bundle, file.path)
  const wanted = look === 'tree' ? Number.POSITIVE_INFINITY : (page + 1) * size + 1
  const text = useLines(address, file.sha256, wanted)
  if (text.error)
    return (
      <p role="alert" className="text-sm text-bad">
        {file.path} cannot be shown. {text.error.message}
      </p>
    )
  if (text.binary) return <Untold file={file} address={address} />
  if (text.loading && (look === 'tree' || text.lines.length <= page * size))
    return <div role="status" aria-label={`Reading ${file.path}`} className="skeleton h-24" />
  if (text.lines.length === 0) return <p className="text-sm text-ink-2">This file is empty.</p>
  if (look === 'rows') return <RowsPreview text={text} page={page} onPage={setPage} line={place?.line} />
  const tree = look === 'tree' ? parsed(text.lines.join('\n')) : undefined
  if (tree) return <JsonTree value={tree.value} member={place?.member} />
  return <TextPreview text={text} page={page} onPage={setPage} line={place?.line} />
}

function Untold({ file, address }: { readonly file: BundleFile; readonly address: string }) {
  return (
    <p className="text-sm text-ink-2">
      {bytes(file.bytes)} that are no text.{' '}
      <a href={address} className="prose-link" download>
        Download
      </a>
    </p>
  )
}

function parsed(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}
