/** The form's fields, read from the JSON Schema of a config. Pure. */

export type FieldKind = 'choice' | 'switch' | 'integer' | 'number' | 'path' | 'multiline' | 'text'

export interface Field {
  /** Dotted, as overrides name it. */
  readonly key: string
  readonly title: string
  readonly help: string
  readonly kind: FieldKind
  readonly unit: string
  readonly choices: readonly string[]
  /** "at least 1", as a reader wants it; empty where there is no limit. */
  readonly limits: string
}

export interface Section {
  readonly name: string
  readonly title: string
  readonly fields: readonly Field[]
  /** Folded away until asked for. */
  readonly advanced: boolean
}

interface Node {
  readonly type?: string
  readonly title?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, Node>>
  readonly enum?: readonly string[]
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly exclusiveMaximum?: number
  readonly 'x-unit'?: string
  readonly 'x-format'?: string
}

/** Asked for elsewhere in the form, or words about the config that no run changes. */
const NOT_HERE = new Set(['name', 'description', 'expected_duration', 'expected_result'])

const FIRST = ['training', 'optimizer', 'data']

export function sections(schema: Readonly<Record<string, unknown>>): Section[] {
  const properties = Object.entries((schema as Node).properties ?? {})
  const own = properties.filter(([name, node]) => node.type !== 'object' && !NOT_HERE.has(name))
  const nested = properties
    .filter(([, node]) => node.type === 'object')
    .map(([name, node]) => ({
      name,
      title: titled(name),
      fields: Object.entries(node.properties ?? {}).map(([leaf, inner]) => fieldOf(`${name}.${leaf}`, inner)),
      advanced: !FIRST.includes(name),
    }))
    .sort((a, b) => rank(a.name) - rank(b.name))
  const general = { name: 'general', title: 'Where to run', advanced: false }
  const fields = own.map(([name, node]) => fieldOf(name, node))
  return fields.length > 0 ? [{ ...general, fields }, ...nested] : nested
}

function rank(name: string): number {
  const place = FIRST.indexOf(name)
  return place < 0 ? FIRST.length : place
}

function fieldOf(key: string, node: Node): Field {
  return {
    key,
    title: node.title ?? titled(key.split('.').at(-1) ?? key),
    help: node.description ?? '',
    kind: kindOf(node),
    unit: node['x-unit'] ?? '',
    choices: node.enum ?? [],
    limits: limitsOf(node),
  }
}

function kindOf(node: Node): FieldKind {
  if (node.enum) return 'choice'
  if (node.type === 'boolean') return 'switch'
  if (node.type === 'integer' || node.type === 'number') return node.type
  return node['x-format'] === 'path' || node['x-format'] === 'multiline' ? node['x-format'] : 'text'
}

function limitsOf(node: Node): string {
  const said = (word: string, value: number | undefined) => (value === undefined ? '' : `${word} ${shown(value)}`)
  return [
    said('at least', node.minimum),
    said('above', node.exclusiveMinimum),
    said('at most', node.maximum),
    said('below', node.exclusiveMaximum),
  ]
    .filter(Boolean)
    .join(', ')
}

function shown(value: number): string {
  return value.toLocaleString('en-US')
}

function titled(name: string): string {
  const words = name.replaceAll('_', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}
