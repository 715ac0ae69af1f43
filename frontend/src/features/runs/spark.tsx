import { outline } from '../../chart/outline.ts'

const WIDTH = 120
const HEIGHT = 28

/** The loss so far, as a small curve over the whole length of the run. */
export function Spark({ values }: { readonly values: readonly number[] }) {
  const steps = values.map((_, index) => index)
  const path = outline(steps, values, { width: WIDTH, height: HEIGHT, pad: 3 })
  return (
    <svg aria-hidden width={WIDTH} height={HEIGHT} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} className="shrink-0">
      <path d={path} fill="none" strokeWidth={1.5} strokeLinejoin="round" className="stroke-accent" />
    </svg>
  )
}
