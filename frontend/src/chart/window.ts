/** The part of the x axis that is shown: arithmetic on closed intervals, all pure. */

export type Span = readonly [from: number, to: number]

/** `span` scaled about `center` by `factor` (below 1 zooms in), kept inside `whole`. Undefined when all is shown. */
export function zoomed(whole: Span, span: Span, factor: number, center = (span[0] + span[1]) / 2): Span | undefined {
  const from = center - (center - span[0]) * factor
  const to = center + (span[1] - center) * factor
  return inside(whole, [from, to])
}

/** `span` moved by `share` of its own width, kept inside `whole`. */
export function panned(whole: Span, span: Span, share: number): Span | undefined {
  const width = span[1] - span[0]
  const from = Math.min(Math.max(span[0] + width * share, whole[0]), whole[1] - width)
  return inside(whole, [from, from + width])
}

/** `span` cut to `whole`; undefined when nothing is cut off, or when nothing is left to look at. */
export function inside(whole: Span, span: Span): Span | undefined {
  const from = Math.max(whole[0], span[0])
  const to = Math.min(whole[1], span[1])
  if (!(to > from)) return undefined
  return from <= whole[0] && to >= whole[1] ? undefined : [from, to]
}
