import { describe, expect, test } from 'vitest'
import { ago, bytes, count, digest, duration, loss, percent, rate, short, utc } from './format.ts'

describe('numbers', () => {
  test('a loss has four significant digits', () => {
    expect([2.41234, 0.012345, 1234.5, 0, 0.00000012, null].map(loss)).toEqual([
      '2.412',
      '0.01235',
      '1,235',
      '0.000',
      '1.20e-7',
      '–',
    ])
  })
  test('what is not a number is said in words', () => {
    expect([loss(Number.NaN), loss(Number.POSITIVE_INFINITY), short(Number.NEGATIVE_INFINITY)]).toEqual([
      'NaN',
      '∞',
      '−∞',
    ])
  })
  test('counts are grouped, or short where there is little room', () => {
    expect([count(12_400), count(null), count(Number.NaN)]).toEqual(['12,400', '–', 'NaN'])
    expect([950, 12_400, 2_506_172_416, 3e12, undefined].map(short)).toEqual(['950', '12.4k', '2.51B', '3T', '–'])
  })
  test('rates, shares and sizes', () => {
    expect([rate(0.0003), rate(0), rate(null)]).toEqual(['3.0e-4', '0', '–'])
    expect([percent(0.9142), percent(1), percent(null)]).toEqual(['91.4 %', '100 %', '–'])
    expect([bytes(512), bytes(2048), bytes(15.7 * 2 ** 30), bytes(300 * 2 ** 20), bytes(null)]).toEqual([
      '512 B',
      '2.0 KiB',
      '15.7 GiB',
      '300 MiB',
      '–',
    ])
    expect(digest('0123456789abcdef')).toBe('0123456789ab')
  })
})

describe('times', () => {
  test('durations get coarser as they grow', () => {
    expect([0.041, 3.21, 48, 725, 4980, 200_000, null].map(duration)).toEqual([
      '41 ms',
      '3.2 s',
      '48 s',
      '12 m 05 s',
      '1 h 23 m',
      '2 d 7 h',
      '–',
    ])
  })
  test('how long ago', () => {
    const at = (seconds: number) => ago('2026-01-31T12:00:00Z', Date.parse('2026-01-31T12:00:00Z') + seconds * 1000)
    expect([1, 30, 240, 7300, 200_000].map(at)).toEqual(['now', '30 s ago', '4 m ago', '2 h ago', '2 d ago'])
    expect(ago('never', 0)).toBe('–')
  })
  test('an instant is UTC; what is none stays as it was', () => {
    expect(utc('2026-01-31T12:00:05.123456Z')).toBe('2026-01-31 12:00:05 UTC')
    expect(utc('soon')).toBe('soon')
  })
})
