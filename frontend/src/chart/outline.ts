/** A small curve as an SVG path: per-pixel minimum and maximum, so that no spike is lost. */

export interface OutlineSize {
  readonly width: number
  readonly height: number
  readonly pad?: number
}

/** Path data for `values` over `steps`; empty when there are fewer than two finite points. */
export function outline(steps: ArrayLike<number>, values: ArrayLike<number | null>, size: OutlineSize): string {
  const points = finite(steps, values)
  const first = points[0]
  const last = points.at(-1)
  if (!first || !last || points.length < 2 || last.x === first.x) return ''
  const { width, height, pad = 2 } = size
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (const { y } of points) {
    low = Math.min(low, y)
    high = Math.max(high, y)
  }
  const place = (x: number, y: number) => {
    const left = pad + ((x - first.x) / (last.x - first.x)) * (width - 2 * pad)
    const share = high > low ? (y - low) / (high - low) : 0.5
    return `${left.toFixed(1)},${(height - pad - share * (height - 2 * pad)).toFixed(1)}`
  }
  return `M${extremes(points, Math.max(8, Math.floor(width)))
    .map(({ x, y }) => place(x, y))
    .join('L')}`
}

interface Point {
  readonly x: number
  readonly y: number
}

function finite(steps: ArrayLike<number>, values: ArrayLike<number | null>): Point[] {
  const points: Point[] = []
  for (let row = 0; row < steps.length; row++) {
    const y = values[row]
    if (typeof y === 'number' && Number.isFinite(y)) points.push({ x: steps[row] as number, y })
  }
  return points
}

/** First, lowest, highest and last point of each of `buckets` equal slices. */
function extremes(points: readonly Point[], buckets: number): Point[] {
  if (points.length <= buckets * 2) return [...points]
  const kept: Point[] = []
  for (let bucket = 0; bucket < buckets; bucket++) {
    const slice = points.slice(
      Math.floor((bucket * points.length) / buckets),
      Math.floor(((bucket + 1) * points.length) / buckets),
    )
    const byValue = [...slice].sort((a, b) => a.y - b.y)
    const wanted = new Set([slice[0], byValue[0], byValue.at(-1), slice.at(-1)])
    kept.push(...slice.filter((point) => wanted.has(point)))
  }
  return kept
}
