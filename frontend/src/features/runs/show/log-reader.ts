/** A run's log as lines, read piece by piece from the server; every byte once. */
import { api } from '../../../api/client.ts'

export interface LogReader {
  lines(): readonly string[]
  /** "reading" until the first end of the log was reached. */
  state(): 'reading' | 'ready' | 'failed'
  subscribe(listener: () => void): () => void
  /** Reads what is there beyond what was read. Calls during a read are remembered, not doubled. */
  more(): Promise<void>
}

export function createLogReader(run: string): LogReader {
  let lines: readonly string[] = []
  let rest = ''
  let offset = 0
  let state: 'reading' | 'ready' | 'failed' = 'reading'
  let busy = false
  let again = false
  const listeners = new Set<() => void>()
  const tell = () => {
    for (const listener of listeners) listener()
  }

  const read = async () => {
    for (;;) {
      const slice = await api.log(run, offset)
      const moved = slice.next_offset > offset
      offset = slice.next_offset
      if (slice.text) {
        const pieces = (rest + slice.text).split('\n')
        rest = pieces.pop() ?? ''
        lines = [...lines, ...pieces]
      }
      if (!moved || offset >= slice.size) return
      tell()
    }
  }
  return {
    lines: () => lines,
    state: () => state,
    subscribe(listener) {
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
      }
    },
    async more() {
      if (busy) {
        again = true
        return
      }
      busy = true
      try {
        do {
          again = false
          await read()
        } while (again)
        state = 'ready'
      } catch {
        state = lines.length > 0 ? 'ready' : 'failed'
      } finally {
        busy = false
        tell()
      }
    },
  }
}

const ERROR_LINE = /^(\s*\S*(Error|Exception)\b|Traceback|.*\b(ERROR|FATAL|error:))/

/** The index of the first line that reads like an error, -1 if none does. */
export function firstError(lines: readonly string[]): number {
  return lines.findIndex((line) => ERROR_LINE.test(line))
}

/** The indexes of the lines that hold `words`, whatever their case. */
export function matching(lines: readonly string[], words: string): number[] {
  const wanted = words.toLowerCase()
  return wanted ? lines.flatMap((line, index) => (line.toLowerCase().includes(wanted) ? [index] : [])) : []
}
