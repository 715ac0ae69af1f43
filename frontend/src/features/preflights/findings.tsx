import type { DoesNotFit, Fits, PreflightReport, Refused } from '../../api/types.ts'
import { CopyButton } from '../../ui/copy.tsx'
import { type Fact, Facts } from '../../ui/facts.tsx'
import { count, duration, utc } from '../../ui/format.ts'
import { Panel } from '../../ui/panel.tsx'
import { bytes, seconds } from './numbers.ts'

/** What would make it fit: each of these was compiled, too. */
export function Advice({ report }: { readonly report: PreflightReport }) {
  if (report.advice.length === 0) return null
  return (
    <Panel title="What would make it fit" id="advice">
      <ul className="grid gap-1.5 text-sm">
        {report.advice.map((line) => (
          <li key={line} className="flex gap-2 wrap-anywhere">
            <span aria-hidden className="text-ink-3">
              –
            </span>
            <span className="min-w-0">{line}</span>
          </li>
        ))}
      </ul>
    </Panel>
  )
}

export function Largest({ report }: { readonly report: PreflightReport }) {
  const { largest } = report
  if (largest.kind !== 'found') return null
  return (
    <Panel title="Largest batch" id="largest">
      {largest.batch_size === 0 ? (
        <p className="text-sm text-ink-2">None fits; the smallest that was tried is {count(largest.too_large)}.</p>
      ) : (
        <>
          <p className="text-2xl font-semibold tracking-tight">{count(largest.batch_size)}</p>
          <p className="mt-1 text-sm text-ink-2">
            with the chosen plan, in {bytes(largest.peak)};{' '}
            {largest.too_large > 0 ? `${count(largest.too_large)} does not fit.` : 'no larger one was tried.'}
          </p>
        </>
      )}
    </Panel>
  )
}

/** What the devices send one another, by kind. */
export function Collectives({ attempt }: { readonly attempt: Fits }) {
  if (attempt.received_bytes.length === 0) return null
  return (
    <Panel title="What one device receives in a step" id="collectives">
      <table className="w-full text-sm">
        <thead>
          <tr className="border-b border-line text-xs text-ink-3">
            <th className="py-1.5 text-left font-medium">Collective</th>
            <th className="py-1.5 text-right font-medium">Times</th>
            <th className="py-1.5 text-right font-medium">Bytes</th>
          </tr>
        </thead>
        <tbody>
          {attempt.received_bytes.map((item) => (
            <tr key={item.collective} className="border-b border-line last:border-0">
              <td className="py-1.5">{item.collective}</td>
              <td className="py-1.5 text-right">{count(item.count)}</td>
              <td className="py-1.5 text-right whitespace-nowrap">{bytes(item.bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  )
}

/** The compiler's own words, every one of them. */
export function CompilerMessage({ attempt }: { readonly attempt: DoesNotFit | Refused }) {
  const title = attempt.kind === 'refused' ? 'Why it was refused' : "The compiler's own message"
  return (
    <Panel title={title} id="message" aside={<CopyButton text={attempt.message} label="Copy" />} flush>
      <pre
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        tabIndex={0}
        className="max-h-80 overflow-auto bg-sunken px-4 py-3 font-mono text-xs leading-5 -outline-offset-2"
      >
        {attempt.message}
      </pre>
    </Panel>
  )
}

export function Compiled({ report }: { readonly report: PreflightReport }) {
  const { target } = report
  const chosen = report.plans[report.chosen]
  const facts: Fact[] = [
    { term: 'For', value: `${target.name}: ${target.devices} × ${target.device_kind}` },
    {
      term: 'Each device',
      value: `${bytes(target.memory_bytes)}, ${Number((target.peak_flops / 1e12).toPrecision(4))} TFLOP/s peak`,
    },
    {
      term: 'Receives at most',
      value: `${Number((target.received_bytes_per_second / 1e9).toPrecision(3))} GB/s from its neighbours`,
    },
    { term: 'Compiled', value: `${utc(report.created_at)}, in ${duration(report.seconds)}` },
    {
      term: 'Versions',
      value: Object.entries(report.versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(', '),
    },
  ]
  if (chosen && chosen.kind !== 'refused')
    facts.splice(4, 0, { term: 'The chosen plan alone', value: `${seconds(chosen.compile_seconds)} to compile` })
  if (chosen?.kind === 'fits')
    facts.push({
      term: 'StableHLO',
      value: <span className="font-mono text-xs break-all">{chosen.program_sha256.slice(0, 16)}</span>,
    })
  return (
    <Panel title="How it was found" id="compiled">
      <Facts facts={facts} />
    </Panel>
  )
}
