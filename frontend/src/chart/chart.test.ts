import { afterEach, describe, expect, test, vi } from 'vitest'
import { clockTick, tick } from './axes.ts'
import { createColumns, rowAtOrBefore } from './columns.ts'
import { createFrameLoop } from './frame-loop.ts'
import { createLineChart, type LineChart } from './line-chart.ts'
import { outline } from './outline.ts'
import { smooth } from './smoothing.ts'
import { inside, panned, type Span, zoomed } from './window.ts'

describe('columns', () => {
  test('blocks become one column each, gaps are NaN', () => {
    const columns = createColumns()
    expect(columns.append({ step: [1, 2], loss: [5, null] })).toBe(2)
    expect(columns.append({ step: [3], loss: [3], grad_norm: [0.5] })).toBe(1)
    expect([...(columns.column('loss') ?? [])]).toEqual([5, Number.NaN, 3])
    expect([...(columns.column('grad_norm') ?? [])]).toEqual([Number.NaN, Number.NaN, 0.5])
    expect(columns.names()).toEqual(['step', 'loss', 'grad_norm'])
    expect(columns.column('nothing')).toBeUndefined()
  })
  test('a word stands for what is no number', () => {
    const columns = createColumns()
    columns.append({ step: [1, 2, 3], loss: ['NaN', '-Infinity', 2] })
    expect([...(columns.column('loss') ?? [])]).toEqual([Number.NaN, Number.NEGATIVE_INFINITY, 2])
  })
  test('steps that are done again replace what was there from their first on', () => {
    const columns = createColumns()
    columns.append({ step: [1, 2, 3, 4], loss: [4, 3, 2, 1], grad_norm: [1, 1, 1, 1] })
    expect(columns.append({ step: [2, 3], loss: [9, 8] })).toBe(2)
    expect([...(columns.column('loss') ?? [])]).toEqual([4, 9, 8])
    expect([...(columns.column('grad_norm') ?? [])]).toEqual([1, Number.NaN, Number.NaN])
    expect(columns.append({ step: [], loss: [] })).toBe(0)
    columns.append({ step: [4], loss: [7], grad_norm: [2] })
    expect([...(columns.column('step') ?? [])]).toEqual([1, 2, 3, 4])
    expect([...(columns.column('grad_norm') ?? [])]).toEqual([1, Number.NaN, Number.NaN, 2])
  })
  test('columns grow past what was first reserved', () => {
    const columns = createColumns()
    const steps = Array.from({ length: 5000 }, (_, index) => index + 1)
    columns.append({ step: steps.slice(0, 900) })
    columns.append({ step: steps.slice(900) })
    expect(columns.length).toBe(5000)
    expect(columns.column('step')?.[4999]).toBe(5000)
  })
  test('the row of a key is the last one at or before it', () => {
    const keys = Float64Array.of(1, 5, 9)
    expect([0, 1, 4, 9, 100].map((key) => rowAtOrBefore(keys, key))).toEqual([-1, 0, 0, 2, 2])
  })
})

describe('smoothing', () => {
  test('weight zero gives the values back', () => {
    const values = Float64Array.of(3, 1)
    expect(smooth(Float64Array.of(1, 2), values, 0)).toBe(values)
  })
  test('a constant stays itself from its first row on', () => {
    const smoothed = smooth(Float64Array.of(1, 2, 9), Float64Array.of(4, 4, 4), 0.9)
    for (const value of smoothed) expect(value).toBeCloseTo(4, 12)
  })
  test('a row far away forgets more of the past than a near one', () => {
    const near = smooth(Float64Array.of(1, 2), Float64Array.of(0, 10), 0.9)
    const far = smooth(Float64Array.of(1, 50), Float64Array.of(0, 10), 0.9)
    expect(far[1]).toBeGreaterThan(near[1] as number)
  })
  test('missing values stay missing', () => {
    const smoothed = smooth(Float64Array.of(1, 2, 3), Float64Array.of(1, Number.NaN, 1), 0.5)
    expect(smoothed[1]).toBeNaN()
    expect(smoothed[2]).toBeCloseTo(1)
  })
})

describe('window', () => {
  const whole: Span = [0, 100]
  test('zooming in halves what is shown, about its centre', () => {
    expect(zoomed(whole, whole, 0.5)).toEqual([25, 75])
    expect(zoomed(whole, [25, 75], 2)).toBeUndefined()
  })
  test('panning stops at the ends', () => {
    expect(panned(whole, [25, 75], 0.25)).toEqual([37.5, 87.5])
    expect(panned(whole, [50, 100], 1)).toEqual([50, 100])
  })
  test('nothing is left of a span outside', () => {
    expect(inside(whole, [200, 300])).toBeUndefined()
    expect(inside(whole, [-5, 50])).toEqual([0, 50])
  })
})

describe('outline', () => {
  const size = { width: 100, height: 20 }
  test('a falling curve goes from the top left to the bottom right', () => {
    expect(outline([1, 2], [5, 1], size)).toBe('M2.0,2.0L98.0,18.0')
  })
  test('fewer than two finite points are no curve', () => {
    expect(outline([1], [5], size)).toBe('')
    expect(outline([1, 2], [5, null], size)).toBe('')
  })
  test('one spike among thousands is kept', () => {
    const steps = Array.from({ length: 9000 }, (_, index) => index)
    const values = steps.map((step) => (step === 4321 ? 100 : 1))
    expect(outline(steps, values, size)).toMatch(/,2\.0L/)
  })
})

describe('ticks', () => {
  test('numbers are short', () => {
    expect([0, 0.5, 4, 5000, 12_400, 2_500_000, 3e9].map(tick)).toEqual(['0', '0.5', '4', '5k', '12.4k', '2.5M', '3B'])
    expect([0.0004, 0.00025].map(tick)).toEqual(['4e-4', '2.5e-4'])
  })
  test('durations are clocks', () => {
    expect([0.5, 45, 75, 3660].map(clockTick)).toEqual(['0.5s', '45s', '1:15', '1h01'])
  })
})

describe('frame loop', () => {
  afterEach(() => vi.useRealTimers())
  test('many requests are one frame, and frames are at least a tenth of a second apart', () => {
    vi.useFakeTimers()
    const draw = vi.fn()
    const loop = createFrameLoop(draw)
    for (let request = 0; request < 50; request++) loop.request()
    vi.advanceTimersByTime(40)
    expect(draw).toHaveBeenCalledTimes(1)
    loop.request()
    vi.advanceTimersByTime(40)
    expect(draw).toHaveBeenCalledTimes(1)
    vi.advanceTimersByTime(120)
    expect(draw).toHaveBeenCalledTimes(2)
    loop.request()
    loop.stop()
    loop.request()
    vi.advanceTimersByTime(500)
    expect(draw).toHaveBeenCalledTimes(2)
  })
})

describe('line chart', () => {
  let chart: LineChart | undefined
  afterEach(() => {
    chart?.destroy()
    vi.useRealTimers()
    document.body.replaceChildren()
  })
  const made = (change = {}) => {
    vi.useFakeTimers()
    const host = document.createElement('div')
    document.body.append(host)
    const onZoom = vi.fn()
    const onHover = vi.fn()
    chart = createLineChart(host, {
      height: 200,
      axis: 'step',
      logarithmic: false,
      group: 'test',
      onZoom,
      onHover,
      ...change,
    })
    const values = Float64Array.of(5, 4, Number.NaN, 2, 1)
    const line = { label: 'loss', color: '--accent', values, smoothed: values }
    const marks = { label: 'held out', color: '--warn', values, marks: true }
    chart.show({ x: Float64Array.of(0, 25, 50, 75, 100), lines: [line, marks], broken: [50] })
    vi.advanceTimersByTime(200)
    const press = (key: string, shiftKey = false) =>
      host.dispatchEvent(new KeyboardEvent('keydown', { key, shiftKey, cancelable: true }))
    return { chart, host, press, onZoom, onHover }
  }
  test('it draws into its host and leaves nothing behind', () => {
    const { chart, host } = made()
    expect(host.querySelector('canvas')).not.toBeNull()
    chart.destroy()
    expect(host.querySelector('canvas')).toBeNull()
  })
  test('keys zoom, pan and show all', () => {
    const { press, onZoom } = made()
    press('+')
    expect(onZoom).toHaveBeenLastCalledWith([25, 75])
    press('ArrowRight', true)
    expect(onZoom).toHaveBeenLastCalledWith([37.5, 87.5])
    press('0')
    expect(onZoom).toHaveBeenLastCalledWith(undefined)
    press('+')
    press('-')
    expect(onZoom).toHaveBeenLastCalledWith(undefined)
  })
  test('a key it does not know is left to the page', () => {
    const { host } = made()
    const event = new KeyboardEvent('keydown', { key: 'x', cancelable: true })
    host.dispatchEvent(event)
    expect(event.defaultPrevented).toBe(false)
  })
  test('arrow keys move the crosshair from the latest row backwards', () => {
    const { press, onHover } = made()
    press('ArrowLeft')
    vi.advanceTimersByTime(200)
    expect(onHover).toHaveBeenCalled()
  })
  test('a new shape and a new theme are drawn', () => {
    const { chart, host } = made({ logarithmic: true, axis: 'time' })
    chart.setSpan([25, 75])
    chart.zoom(0.5)
    const values = Float64Array.of(3, 0)
    chart.show({ x: Float64Array.of(1, 2), lines: [{ label: 'other', color: '--good', values }] })
    vi.advanceTimersByTime(200)
    document.documentElement.dataset.theme = 'dark'
    expect(host.querySelectorAll('canvas')).toHaveLength(1)
  })
})
