/** Reading the sealed documents, which come as they were sealed: any shape, perhaps a broken one. */

/** The value at a dotted path; undefined where there is none. */
export function at(document: unknown, path: string): unknown {
  let value = document
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return value
}

export function textAt(document: unknown, path: string): string | undefined {
  const value = at(document, path)
  return typeof value === 'string' ? value : undefined
}

export function numberAt(document: unknown, path: string): number | undefined {
  const value = at(document, path)
  return typeof value === 'number' ? value : undefined
}
