import type { DoesNotFit, Fits, Memory } from '../../api/types.ts'
import { classes } from '../../ui/classes.ts'
import { percent } from '../../ui/format.ts'
import { Panel } from '../../ui/panel.tsx'
import { MemoryBar, type Part } from './memory-bar.tsx'
import { bytes } from './numbers.ts'

const HEAD = 'py-1.5 text-left text-xs font-medium text-ink-3'
const NUMBER = 'py-1.5 text-right whitespace-nowrap'

/** One device's memory with the chosen plan, as a bar and as a table of the same numbers. */
export function MemoryPanel({ attempt }: { readonly attempt: Fits | DoesNotFit }) {
  const fits = attempt.kind === 'fits'
  const parts = partsOf(attempt)
  const limit = fits ? attempt.memory.limit : attempt.limit_bytes
  const peak = fits ? attempt.memory.peak : attempt.needed_bytes
  if (peak === 0) return null
  const said = `${fits ? 'Peak' : 'Needed'} ${bytes(peak)} of ${bytes(limit)}: ${parts.map((part) => `${part.name} ${bytes(part.bytes)}`).join(', ')}`
  return (
    <Panel title="Memory on one device" id="memory" aside={<span className="text-xs text-ink-3">by the compiler</span>}>
      <div className="grid items-center gap-x-10 gap-y-5 lg:grid-cols-[1.5fr_1fr]">
        <div className="min-w-0">
          <MemoryBar parts={parts} limit={limit} label={said} />
          <p className={classes('mt-3 text-sm', fits ? 'text-ink-2' : 'text-bad')}>
            {fits ? `${bytes(limit - peak)} stay free.` : `${bytes(peak - limit)} too much.`}
          </p>
        </div>
        <table className="w-full text-sm">
          <thead>
            <tr className="border-b border-line">
              <th className={HEAD}>Part</th>
              <th className={`${HEAD} text-right!`}>Bytes</th>
              <th className={`${HEAD} text-right!`}>Of the limit</th>
            </tr>
          </thead>
          <tbody>
            {parts.map((part) => (
              <tr key={part.name} className="border-b border-line">
                <td className="py-1.5">
                  <span className="flex items-center gap-2">
                    <span aria-hidden className={classes('size-3 shrink-0 rounded-sm', part.fill)} /> {part.name}
                  </span>
                </td>
                <td className={NUMBER}>{bytes(part.bytes)}</td>
                <td className={NUMBER}>{percent(part.bytes / limit)}</td>
              </tr>
            ))}
            <tr className="font-semibold">
              <td className="py-1.5">{fits ? 'Peak' : 'Needed'}</td>
              <td className={NUMBER}>{bytes(peak)}</td>
              <td className={NUMBER}>{percent(peak / limit)}</td>
            </tr>
          </tbody>
        </table>
      </div>
    </Panel>
  )
}

/** The parts of what a device must hold; where it does not fit, the compiler tells the sum only. */
export function partsOf(attempt: Fits | DoesNotFit): Part[] {
  if (attempt.kind === 'does_not_fit')
    return [
      { name: 'What there is', bytes: Math.min(attempt.limit_bytes, attempt.needed_bytes), fill: 'bg-line-strong' },
      { name: 'Too much', bytes: Math.max(0, attempt.needed_bytes - attempt.limit_bytes), fill: 'bg-bad' },
    ]
  const memory: Memory = attempt.memory
  return [
    { name: 'Parameters', bytes: memory.parameters, fill: 'bg-part-1' },
    { name: 'Optimizer state', bytes: memory.optimizer, fill: 'bg-part-2' },
    { name: 'Batch and other', bytes: memory.other_arguments, fill: 'bg-part-3' },
    { name: 'Temporaries', bytes: memory.temporaries, fill: 'bg-part-4' },
  ]
}
