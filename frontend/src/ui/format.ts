/** How numbers, times and sizes read on every page. A dash means "not logged", never zero. */

export const MISSING = '–'

const grouped = new Intl.NumberFormat('en-US')

type Maybe = number | null | undefined

function known(value: Maybe): value is number {
  return value !== null && value !== undefined
}

function word(value: number): string {
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '−∞'
}

/** Four significant digits: 2.412, 0.01234, 1.20e-7. */
export function loss(value: Maybe): string {
  if (!known(value)) return MISSING
  if (!Number.isFinite(value)) return word(value)
  const size = Math.abs(value)
  if (size !== 0 && (size < 1e-4 || size >= 1e6)) return value.toExponential(2)
  return size >= 1000 ? grouped.format(Math.round(value)) : value.toPrecision(4)
}

/** 12,400 */
export function count(value: Maybe): string {
  return known(value) ? (Number.isFinite(value) ? grouped.format(Math.round(value)) : word(value)) : MISSING
}

/** 12.4k, 1.31B: for narrow places. */
export function short(value: Maybe): string {
  if (!known(value)) return MISSING
  if (!Number.isFinite(value)) return word(value)
  for (const [unit, size] of [
    ['T', 1e12],
    ['B', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const)
    if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(3))}${unit}`
  return String(Number(value.toPrecision(3)))
}

/** A learning rate: 3.0e-4. */
export function rate(value: Maybe): string {
  return known(value) ? (value === 0 ? '0' : value.toExponential(1)) : MISSING
}

/** 0.9142 as 91.4 %. */
export function percent(share: Maybe): string {
  if (!known(share)) return MISSING
  const value = share * 100
  return `${Number.isInteger(value) ? value : value.toFixed(1)} %`
}

/** Binary sizes: 14.6 GiB. */
export function bytes(value: Maybe): string {
  if (!known(value)) return MISSING
  if (value < 1024) return `${value} B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let size = value
  let unit = -1
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024
    unit++
  }
  return `${size >= 100 ? size.toFixed(0) : size.toFixed(1)} ${units[unit]}`
}

/** 41 ms, 3.2 s, 48 s, 12 m 05 s, 1 h 23 m. */
export function duration(seconds: Maybe): string {
  if (!known(seconds) || !Number.isFinite(seconds)) return MISSING
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes} m ${String(whole % 60).padStart(2, '0')} s`
  const hours = Math.floor(minutes / 60)
  return hours < 48
    ? `${hours} h ${String(minutes % 60).padStart(2, '0')} m`
    : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/** "4 m ago", against `now`, both as instants. */
export function ago(time: string, now: number): string {
  const seconds = (now - Date.parse(time)) / 1000
  if (!Number.isFinite(seconds)) return MISSING
  if (seconds < 5) return 'now'
  if (seconds < 60) return `${Math.floor(seconds)} s ago`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ago`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`
  return `${Math.floor(seconds / 86_400)} d ago`
}

/** 2026-01-31 12:00:05 UTC */
export function utc(time: string): string {
  const moment = new Date(time)
  return Number.isNaN(moment.getTime()) ? time : `${moment.toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** The first twelve hex digits of a digest. */
export function digest(hex: string): string {
  return hex.slice(0, 12)
}
