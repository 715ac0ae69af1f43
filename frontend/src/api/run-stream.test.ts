import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { FakeEventSource } from '../test/event-source.ts'
import { aSummary } from '../test/fixtures.ts'
import { createRunStream } from './run-stream.ts'

const settled = () => vi.advanceTimersByTimeAsync(0)

function hide(hidden: boolean): void {
  Object.defineProperty(document, 'hidden', { configurable: true, value: hidden })
  document.dispatchEvent(new Event('visibilitychange'))
}

describe('run stream', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    hide(false)
    vi.useRealTimers()
  })

  test('everything watched shares one connection', async () => {
    const stream = createRunStream()
    stream.watch({ summary: vi.fn() })
    stream.watch({ run: 'b', log: true })
    stream.watch({ run: 'a' })
    await settled()
    expect(FakeEventSource.all).toHaveLength(1)
    expect(FakeEventSource.latest.url).toBe('/stream?runs=a%2Cb&list=true&log=true')
  })

  test('each watcher gets what it watches', async () => {
    const stream = createRunStream()
    const list = { summary: vi.fn() }
    const one = { run: 'a', summary: vi.fn(), metrics: vi.fn(), events: vi.fn(), logged: vi.fn() }
    stream.watch(list)
    stream.watch(one)
    await settled()
    const source = FakeEventSource.latest
    source.send('summary', aSummary({ id: 'a' }))
    source.send('summary', aSummary({ id: 'other' }))
    source.send('metrics', { run: 'a', columns: { step: [1] } }, 'a:10')
    source.send('metrics', { run: 'other', columns: { step: [1] } })
    source.send('events', { run: 'a', events: [{ kind: 'sample' }] })
    source.send('log', { run: 'a', offset: 5, text: 'x\n' })
    expect(list.summary).toHaveBeenCalledTimes(2)
    expect(one.summary).toHaveBeenCalledTimes(1)
    expect(one.metrics).toHaveBeenCalledTimes(1)
    expect(one.events).toHaveBeenCalledTimes(1)
    expect(one.logged).toHaveBeenCalledTimes(1)
  })

  test('what is known already is not told again, unless somebody else knows nothing yet', async () => {
    const stream = createRunStream()
    const restart = vi.fn()
    const leave = stream.watch({ run: 'a', restart }, 'a:90:0')
    await settled()
    expect(FakeEventSource.latest.url).toBe('/stream?runs=a&cursor=a%3A90%3A0')
    expect(restart).not.toHaveBeenCalled()
    stream.watch({ run: 'a' }, 'a:95:0')
    await settled()
    expect(FakeEventSource.latest.url).toBe('/stream?runs=a')
    expect(restart).toHaveBeenCalledTimes(1)
    leave()
  })

  test('a log that was replaced begins anew', async () => {
    const stream = createRunStream()
    const restart = vi.fn()
    stream.watch({ run: 'a', restart })
    await settled()
    FakeEventSource.latest.send('restart', { run: 'other' })
    expect(restart).toHaveBeenCalledTimes(1)
    FakeEventSource.latest.send('restart', { run: 'a' })
    expect(restart).toHaveBeenCalledTimes(2)
  })

  test('a refused connection is opened again where it stood, later each time', async () => {
    const stream = createRunStream()
    const restart = vi.fn()
    stream.watch({ run: 'a', restart })
    await settled()
    FakeEventSource.latest.open()
    expect(stream.connection()).toBe('live')
    FakeEventSource.latest.send('metrics', { run: 'a', columns: { step: [1] } }, 'a:120')
    FakeEventSource.latest.fail(FakeEventSource.CLOSED)
    expect(stream.connection()).toBe('reconnecting')
    await vi.advanceTimersByTimeAsync(600)
    expect(FakeEventSource.latest.url).toBe('/stream?runs=a&cursor=a%3A120')
    expect(restart).toHaveBeenCalledTimes(1)
    FakeEventSource.latest.fail(FakeEventSource.CLOSED)
    await vi.advanceTimersByTimeAsync(600)
    expect(FakeEventSource.all).toHaveLength(2)
    await vi.advanceTimersByTimeAsync(20_000)
    expect(stream.connection()).toBe('stale')
    FakeEventSource.latest.open()
    expect(stream.connection()).toBe('live')
  })

  test('a cut that the browser mends itself opens nothing', async () => {
    const stream = createRunStream()
    stream.watch({})
    await settled()
    FakeEventSource.latest.fail(FakeEventSource.CONNECTING)
    expect(stream.connection()).toBe('reconnecting')
    await vi.advanceTimersByTimeAsync(5_000)
    expect(FakeEventSource.all).toHaveLength(1)
  })

  test('who watches a run anew gets it from its first line', async () => {
    const stream = createRunStream()
    const first = vi.fn()
    const stop = stream.watch({ run: 'a', restart: first })
    await settled()
    FakeEventSource.latest.send('metrics', { run: 'a', columns: { step: [1] } }, 'a:120')
    stop()
    stream.watch({ run: 'a' })
    await settled()
    expect(FakeEventSource.all).toHaveLength(2)
    expect(FakeEventSource.latest.url).toBe('/stream?runs=a')
  })

  test('without watchers there is no connection', async () => {
    const stream = createRunStream()
    const heard = vi.fn()
    const silence = stream.onConnection(heard)
    const stop = stream.watch({})
    await settled()
    const source = FakeEventSource.latest
    stop()
    await settled()
    expect(source.readyState).toBe(FakeEventSource.CLOSED)
    expect(stream.connection()).toBe('idle')
    expect(heard).toHaveBeenCalled()
    silence()
  })

  test('a tab hidden for long lets go, and comes back when it is looked at', async () => {
    const stream = createRunStream()
    stream.watch({})
    await settled()
    hide(true)
    await vi.advanceTimersByTimeAsync(61_000)
    expect(FakeEventSource.latest.readyState).toBe(FakeEventSource.CLOSED)
    expect(stream.connection()).toBe('stale')
    hide(false)
    FakeEventSource.latest.open()
    expect(stream.connection()).toBe('live')
  })
})
