import { Equal } from 'lucide-react'
import { classes } from '../../../ui/classes.ts'
import { differs, type Pair } from './differences.ts'

interface PairsProps {
  readonly label: string
  readonly names: readonly [a: string, b: string]
  readonly pairs: readonly Pair[]
  /** What is equal is left out. */
  readonly onlyDifferences: boolean
  /** Terms are names from a file. */
  readonly mono?: boolean
}

/** Two bundles' values beside each other, what differs marked. */
export function Pairs({ label, names, pairs, onlyDifferences, mono }: PairsProps) {
  const shown = onlyDifferences ? pairs.filter(differs) : pairs
  if (shown.length === 0)
    return (
      <p className="flex items-center gap-2 px-4 py-3 text-sm text-ink-2">
        <Equal aria-hidden size={15} /> No difference{pairs.length > 0 && ` in ${pairs.length} values`}.
      </p>
    )
  return (
    <table aria-label={label} className="w-full table-fixed text-sm">
      <thead>
        <tr className="border-b border-line text-left text-xs text-ink-3">
          <th className="px-4 py-1.5 font-medium max-sm:hidden sm:w-1/4">
            <span className="sr-only">What</span>
          </th>
          {names.map((name, index) => (
            <th key={index === 0 ? 'a' : 'b'} className="px-4 py-1.5 font-medium wrap-anywhere">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {shown.map((pair) => (
          <Row key={pair.term} pair={pair} mono={mono} marked={!onlyDifferences && differs(pair)} />
        ))}
      </tbody>
    </table>
  )
}

interface RowProps {
  readonly pair: Pair
  readonly mono: boolean | undefined
  readonly marked: boolean
}

/** On a phone the term stands above its two values. */
function Row({ pair, mono, marked }: RowProps) {
  const value = classes('px-4 py-1.5 align-top wrap-anywhere', mono && 'font-mono text-xs leading-5')
  const cell = classes(value, differs(pair) ? 'font-medium' : 'text-ink-2')
  return (
    <tr className={classes('border-b border-line last:border-0', marked && 'bg-warn-soft')}>
      <th scope="row" className={classes(value, 'text-left font-normal text-ink-3 max-sm:hidden')}>
        {pair.term}
      </th>
      <td className={cell}>
        <span className={classes('block text-2xs text-ink-3 sm:hidden', mono && 'font-mono')}>{pair.term}</span>
        {pair.a}
      </td>
      <td className={cell}>
        <span aria-hidden className="invisible block text-2xs sm:hidden">
          {pair.term}
        </span>
        {pair.b}
      </td>
    </tr>
  )
}
