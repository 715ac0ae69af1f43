import { useQueries } from '@tanstack/react-query'
import type { Bundle } from '../../../api/types.ts'
import { Panel } from '../../../ui/panel.tsx'
import { documentQuery } from '../queries.ts'
import { configPairs, differs } from './differences.ts'
import { Pairs } from './pairs.tsx'

const FILE = 'config/effective.json'

interface ConfigDifferencesProps {
  readonly a: Bundle
  readonly b: Bundle
  readonly onlyDifferences: boolean
}

/** The configs that the runs had in effect, by dotted key, read from the sealed files. */
export function ConfigDifferences({ a, b, onlyDifferences }: ConfigDifferencesProps) {
  const [first, second] = useQueries({
    queries: [a, b].map((bundle) => {
      const file = bundle.contents.find((item) => item.path === FILE)
      return { ...documentQuery(bundle.name, FILE, file?.sha256 ?? ''), enabled: file !== undefined }
    }),
  })
  const missing = [a, b].find((bundle) => !bundle.contents.some((item) => item.path === FILE))
  const error = first?.error ?? second?.error
  const pairs = first?.data && second?.data ? configPairs(first.data, second.data) : undefined
  return (
    <Panel
      title={pairs ? `Config, ${pairs.filter(differs).length} of ${pairs.length} values differ` : 'Config'}
      id="config"
      flush
    >
      {missing ? (
        <p className="px-4 py-3 text-sm text-ink-2">
          {missing.name} has no {FILE}.
        </p>
      ) : error ? (
        <p role="alert" className="px-4 py-3 text-sm text-bad">
          The configs cannot be read. {error.message}
        </p>
      ) : pairs ? (
        <Pairs label="Config" names={[a.name, b.name]} pairs={pairs} onlyDifferences={onlyDifferences} mono />
      ) : (
        <div role="status" aria-label="Reading both configs" className="skeleton m-4 h-24" />
      )}
    </Panel>
  )
}
