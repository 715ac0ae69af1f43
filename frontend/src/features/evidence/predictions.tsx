import { useState } from 'react'
import type { Bundle } from '../../api/types.ts'
import { Answers } from '../../ui/answers.tsx'
import { Button } from '../../ui/button.tsx'
import { Panel } from '../../ui/panel.tsx'
import { Segmented } from '../../ui/segmented.tsx'

const SHOWN_AT_ONCE = 6

/** What the trained model answered to held-out questions; the wrong ones are one click away. */
export function Predictions({ bundle }: { readonly bundle: Bundle }) {
  const [which, setWhich] = useState<'all' | 'wrong'>('all')
  const [shown, setShown] = useState(SHOWN_AT_ONCE)
  const all =
    bundle.predictions.length > 0
      ? bundle.predictions.map((item) => ({ ...item, key: String(item.id) }))
      : bundle.samples.map((item, index) => ({ ...item, key: String(index), correct: undefined }))
  if (all.length === 0) return null
  const wrong = all.filter((item) => item.correct === false)
  const wanted = which === 'wrong' ? wrong : all
  return (
    <Panel
      title="Held-out answers"
      id="answers"
      aside={
        bundle.predictions.length > 0 && (
          <Segmented
            label="Which answers"
            value={which}
            options={[
              { value: 'all', label: `All ${all.length}` },
              { value: 'wrong', label: `Wrong ${wrong.length}` },
            ]}
            onChange={setWhich}
          />
        )
      }
    >
      {wanted.length === 0 ? (
        <p className="text-sm text-ink-2">Every answer is right.</p>
      ) : (
        <Answers answers={wanted.slice(0, shown)} />
      )}
      {wanted.length > shown && (
        <Button className="no-print mt-3" onClick={() => setShown(shown + 30)}>
          Show {Math.min(30, wanted.length - shown)} more
        </Button>
      )}
    </Panel>
  )
}
