/** Where the bytes of a bundle's file are served. */
export function fileAddress(bundle: string, path: string): string {
  return `/evidence/${encodeURIComponent(bundle)}/files/${path.split('/').map(encodeURIComponent).join('/')}`
}

/** A file on its bundle's page, and what to look at in it: a line's number or a JSON path. */
export interface FilePlace {
  readonly path: string
  readonly line?: number
  readonly member?: string
}

/** The anchor under which the page shows a place of a file. */
export function placeAnchor({ path, line, member }: FilePlace): string {
  return `#file-${path}${line ? `:${line}` : member ? `:${member}` : ''}`
}

/** What an anchor points at; undefined when it is none of a file's. `paths`: the bundle's. */
export function placeOf(hash: string, paths: readonly string[]): FilePlace | undefined {
  const anchor = decoded(hash)
  if (!anchor.startsWith('#file-')) return undefined
  const named = anchor.slice('#file-'.length)
  if (paths.includes(named)) return { path: named }
  const [, path = '', line, member] = /^(.*?):(?:(\d+)|(\$.*))$/.exec(named) ?? []
  if (!paths.includes(path)) return undefined
  return line ? { path, line: Number(line) } : { path, member }
}

/** Where a finding points: "line 7" and "$.run.name" are places; other words are not. */
export function findingPlace(file: string, where: string): FilePlace {
  const line = /\bline (\d+)/.exec(where)?.[1]
  if (line) return { path: file, line: Number(line) }
  return where.startsWith('$') ? { path: file, member: where.split(' ')[0] } : { path: file }
}

/** What the address points at, as it is written; a broken escape stays as it is. */
export function decoded(hash: string): string {
  try {
    return decodeURIComponent(hash)
  } catch {
    return hash
  }
}
