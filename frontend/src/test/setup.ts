import '@testing-library/jest-dom/vitest'
import { cleanup, configure } from '@testing-library/react'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { BlankPath, blankContext } from './canvas.ts'
import { FakeEventSource } from './event-source.ts'
import { server } from './server.ts'

Object.assign(globalThis, { EventSource: FakeEventSource, Path2D: BlankPath })
HTMLCanvasElement.prototype.getContext = (() => blankContext) as never
HTMLElement.prototype.scrollTo = () => {}
window.scrollTo = () => {}

// The first test of a file waits for a route's code to be read and compiled, which a busy machine takes seconds for.
configure({ asyncUtilTimeout: 15_000 })

// TanStack Virtual measures these; without a layout they are 0 and no row would be drawn.
for (const [name, size] of [
  ['clientHeight', 600],
  ['clientWidth', 900],
  ['offsetHeight', 600],
  ['offsetWidth', 900],
] as const)
  Object.defineProperty(HTMLElement.prototype, name, { configurable: true, get: () => size })

beforeAll(() => server.listen({ onUnhandledFrame: 'error' }))
beforeEach(() => {
  FakeEventSource.all = []
})
afterEach(() => {
  cleanup()
  server.resetHandlers()
  localStorage.clear()
})
afterAll(() => server.close())
