import { useQuery } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import type { Run, SystemColumns } from '../../../api/types.ts'
import type { Picture } from '../../../chart/line-chart.ts'
import type { Span } from '../../../chart/window.ts'
import { bytes } from '../../../ui/format.ts'
import { systemQuery } from '../queries.ts'
import { isLive } from '../state.tsx'
import { CurveChart } from './curve-chart.tsx'
import { createHover } from './hover.ts'

const GIB = 2 ** 30

/** What all of the run's processes use together, as its recorder sampled it. */
export function UsageCharts({ run }: { readonly run: Run }) {
  const used = useQuery(systemQuery(run.id, isLive(run.state)))
  const [hover] = useState(createHover)
  const [span, setSpan] = useState<Span>()
  const pictures = useMemo(() => used.data && picturesOf(used.data), [used.data])
  if (!pictures || pictures.cpu.x.length === 0)
    return <p className="text-sm text-ink-3">{used.error ? used.error.message : 'Nothing was sampled yet.'}</p>
  const chart = { axis: 'time' as const, height: 150, logarithmic: false, span, hover, onZoom: setSpan }
  return (
    <div className="grid min-w-0 grid-cols-1 gap-4 md:grid-cols-2">
      <CurveChart
        {...chart}
        title="Processor, % of one core"
        picture={pictures.cpu}
        format={(value) => (value === null ? '–' : `${Math.round(value)} %`)}
      />
      <CurveChart
        {...chart}
        title="Memory, GiB"
        picture={pictures.memory}
        format={(value) => bytes(value === null ? null : value * GIB)}
      />
    </div>
  )
}

function picturesOf({ time, cpu_percent, rss_bytes }: SystemColumns): { cpu: Picture; memory: Picture } {
  const instants = time.map((text) => Date.parse(text) / 1000)
  const x = Float64Array.from(instants, (instant) => instant - (instants[0] ?? 0))
  const cpu = Float64Array.from(cpu_percent)
  const memory = Float64Array.from(rss_bytes, (value) => value / GIB)
  return {
    cpu: { x, lines: [{ label: 'processor', color: '--accent', values: cpu }] },
    memory: { x, lines: [{ label: 'memory', color: '--accent', values: memory }] },
  }
}
