/** What a run's rows can be drawn over, and how axis numbers read. */

export type XAxis = 'step' | 'time' | 'tokens'

export const X_LABEL: Record<XAxis, string> = { step: 'step', time: 'seconds since step 1', tokens: 'tokens' }

/** Tick text: short, without a false precision. */
export function tick(value: number): string {
  const size = Math.abs(value)
  if (value === 0) return '0'
  if (size >= 1e9) return `${trim(value / 1e9)}B`
  if (size >= 1e6) return `${trim(value / 1e6)}M`
  if (size >= 1e4 || (size >= 1e3 && value % 100 === 0)) return `${trim(value / 1e3)}k`
  if (size >= 1) return trim(value)
  if (size >= 1e-3) return String(Number(value.toPrecision(3)))
  return Number(value.toPrecision(2)).toExponential()
}

/** Duration tick: seconds, then m:ss, then h:mm. */
export function clockTick(seconds: number): string {
  const whole = Math.round(seconds)
  if (whole < 60) return Number.isInteger(seconds) ? `${seconds}s` : `${Number(seconds.toPrecision(3))}s`
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes}:${String(whole % 60).padStart(2, '0')}`
  return `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}`
}

function trim(value: number): string {
  return String(Number(value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2)))
}
