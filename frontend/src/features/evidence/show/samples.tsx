import { useState } from 'react'
import type { Bundle, Sample } from '../../../api/types.ts'
import { Button } from '../../../ui/button.tsx'
import { count } from '../../../ui/format.ts'
import { Panel } from '../../../ui/panel.tsx'
import { placeAnchor } from '../address.ts'

const FEW = 5

/** What the model said to the same questions as it learned. */
export function Samples({ bundle }: { readonly bundle: Bundle }) {
  const prompts = Map.groupBy(bundle.samples, (sample) => sample.prompt)
  return (
    <Panel
      title="Samples while it learned"
      id="samples"
      flush
      aside={
        <a
          href={placeAnchor({ path: 'samples.jsonl' })}
          className="prose-link no-print inline-flex min-h-6 items-center text-xs"
        >
          rows
        </a>
      }
    >
      {[...prompts].map(([prompt, samples]) => (
        <PromptSamples key={prompt} prompt={prompt} samples={samples} />
      ))}
    </Panel>
  )
}

interface PromptSamplesProps {
  readonly prompt: string
  readonly samples: readonly Sample[]
}

function PromptSamples({ prompt, samples }: PromptSamplesProps) {
  const [all, setAll] = useState(false)
  const shown = all || samples.length <= FEW ? samples : spread(samples, FEW)
  return (
    <div className="border-b border-line px-4 py-3 text-sm last:border-0">
      <p className="font-medium wrap-anywhere whitespace-pre-wrap">{prompt}</p>
      <p className="text-xs wrap-anywhere whitespace-pre-wrap text-ink-3">Expected: {samples[0]?.expected}</p>
      <dl className="mt-1.5 grid grid-cols-[auto_1fr] gap-x-4 gap-y-0.5 text-xs">
        {shown.map((sample) => (
          <div key={sample.step} className="col-span-full grid grid-cols-subgrid">
            <dt className="text-right text-ink-3">step {count(sample.step)}</dt>
            <dd className="min-w-0 font-mono leading-5 wrap-anywhere whitespace-pre-wrap">
              {sample.text.trim() || '(nothing)'}
            </dd>
          </div>
        ))}
      </dl>
      {shown.length < samples.length && (
        <Button small look="quiet" className="no-print mt-1" onClick={() => setAll(true)}>
          All {count(samples.length)} steps
        </Button>
      )}
    </div>
  )
}

/** The first, the last and as many between them as make `wanted`. */
function spread(samples: readonly Sample[], wanted: number): Sample[] {
  return Array.from(
    { length: wanted },
    (_, index) => samples[Math.round((index * (samples.length - 1)) / (wanted - 1))] as Sample,
  )
}
