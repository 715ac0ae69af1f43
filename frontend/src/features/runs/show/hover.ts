/** The row under the crosshair, shared by the charts of a page without asking React to draw them again. */
export interface Hover {
  row(): number | undefined
  set(row: number | undefined): void
  subscribe(listener: () => void): () => void
}

export function createHover(): Hover {
  let row: number | undefined
  const listeners = new Set<() => void>()
  return {
    row: () => row,
    set(next) {
      if (next === row) return
      row = next
      for (const listener of listeners) listener()
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
      }
    },
  }
}
