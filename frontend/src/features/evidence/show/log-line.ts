/** A line of the log, taken apart where it carries an event. */

export const LOG_MARK = ':::EVID '

export interface LogEvent {
  readonly kind: string
  readonly fields: readonly (readonly [name: string, value: string])[]
}

/** The event behind the mark; undefined for a line that says something to people only. */
export function eventOf(text: string): LogEvent | undefined {
  if (!text.startsWith(LOG_MARK)) return undefined
  try {
    const { kind, ...fields } = JSON.parse(text.slice(LOG_MARK.length)) as Record<string, unknown>
    if (typeof kind !== 'string') return undefined
    return { kind, fields: Object.entries(fields).map(([name, value]) => [name, said(value)]) }
  } catch {
    return undefined
  }
}

function said(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
