/** Draws when something changed, at most ten times a second, and not at all while nobody looks. */

export interface FrameLoop {
  request(): void
  stop(): void
}

const SHORTEST_MILLISECONDS = 100

export function createFrameLoop(draw: () => void): FrameLoop {
  let frame = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  let drawnAt = Number.NEGATIVE_INFINITY
  let stopped = false

  const run = () => {
    frame = 0
    drawnAt = performance.now()
    draw()
  }
  const schedule = () => {
    timer = undefined
    if (!stopped) frame = requestAnimationFrame(run)
  }
  return {
    request() {
      if (stopped || frame || timer !== undefined) return
      const wait = drawnAt + SHORTEST_MILLISECONDS - performance.now()
      if (wait > 0) timer = setTimeout(schedule, wait)
      else schedule()
    },
    stop() {
      stopped = true
      cancelAnimationFrame(frame)
      clearTimeout(timer)
    },
  }
}
