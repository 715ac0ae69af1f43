/** Sizes and times as a preflight's pages say them: exact enough to compare two plans. */
import { bytes as rounded } from '../../ui/format.ts'

const GIB = 2 ** 30

/** 5.32 GiB; smaller sizes in their own unit. */
export function bytes(size: number): string {
  return size >= GIB / 10 ? `${(size / GIB).toFixed(2)} GiB` : rounded(size)
}

/** 70.5 ms, 1.24 s, 12.3 µs: three digits. */
export function seconds(value: number): string {
  if (value >= 1) return `${Number(value.toPrecision(3))} s`
  if (value >= 1e-3) return `${Number((value * 1e3).toPrecision(3))} ms`
  return `${Number((value * 1e6).toPrecision(3))} µs`
}

/** 61.6 TFLOP, 454 MFLOP: arithmetic of one step. */
export function flops(value: number): string {
  const [unit, size] = (
    [
      ['T', 1e12],
      ['G', 1e9],
      ['M', 1e6],
    ] as const
  ).find(([, size]) => value >= size) ?? ['', 1]
  return `${Number((value / size).toPrecision(3))} ${unit}FLOP`
}

/** A plan's settings, each in a word or two: "fsdp", "remat layer", "scanned". What is switched off is left out. */
export function planWords(plan: Readonly<Record<string, boolean | number | string>>): string[] {
  const { layout, layers, ...others } = plan
  const named = [layout, layers].filter((value) => value !== undefined).map(String)
  const switched = Object.entries(others).flatMap(([name, value]) => {
    if (value === false || value === 0 || value === '' || value === 'none') return []
    const words = name.replaceAll('_', ' ')
    return [value === true ? words : `${words} ${value}`]
  })
  return [...named, ...switched]
}
