/** A run being asked for: a base, what was typed over it, and the request that comes of it. Pure. */
import type { Config, Preflight, PreflightRequest, Run, RunRequest } from '../../../api/types.ts'
import type { Field, Section } from './schema.ts'

export type Value = string | number | boolean

/** A shipped config, or the spec of an earlier run. */
export interface Base {
  readonly label: string
  readonly spec: Readonly<Record<string, unknown>>
  readonly request: Pick<RunRequest, 'config' | 'spec'>
}

export type Launcher = NonNullable<RunRequest['launcher']>

/** `typed` holds raw text by dotted key, exactly as it was typed, so that no input is ever lost. */
export interface Draft {
  readonly name: string
  readonly notes: string
  readonly tags: string
  readonly launcher: Launcher
  readonly typed: Readonly<Record<string, string>>
}

export const BLANK: Draft = { name: '', notes: '', tags: '', launcher: 'local', typed: {} }

export function fromConfig(config: Config): Base {
  return { label: config.name, spec: config.spec ?? {}, request: { config: config.name } }
}

/** The base and draft that ask for `run` once more. */
export function again(run: Run, configs: readonly Config[]): { base: Base; draft: Draft } {
  const config = configs.find((item) => (item.name === run.config || item.path === run.config) && item.spec)
  const draft = { ...BLANK, name: run.name, notes: run.notes, tags: run.tags.join(', ') }
  if (!config) return { base: { label: run.config, spec: run.spec, request: { spec: run.spec } }, draft }
  const typed = Object.fromEntries(run.overrides.map((item) => [item.key, String(item.effective)]))
  return { base: fromConfig(config), draft: { ...draft, typed } }
}

/** The base and draft of the run that `preflight` was about, with the plan and batch that it chose. */
export function foreseen(
  preflight: Preflight,
  configs: readonly Config[],
  all: readonly Section[],
): { base: Base; draft: Draft } {
  const config = configs.find((item) => item.spec && (item.path === preflight.config || item.name === preflight.config))
  const base = config
    ? fromConfig(config)
    : { label: preflight.name, spec: preflight.spec, request: { spec: preflight.spec } }
  const asked: Base = { ...base, spec: preflight.spec }
  const chosen = chosenSettings(preflight)
  const fields = all.flatMap((section) => section.fields)
  const wanted = fields.map((field) => [field, String(chosen.get(field.key) ?? declared(asked, field.key))] as const)
  const changed = wanted.filter(([field, text]) => typedValue(field, text) !== declared(base, field.key))
  return { base, draft: { ...BLANK, typed: Object.fromEntries(changed.map(([field, text]) => [field.key, text])) } }
}

function chosenSettings({ report }: Preflight): ReadonlyMap<string, Value> {
  const chosen = report?.plans[report.chosen]
  if (chosen?.kind !== 'fits') return new Map()
  const plan = Object.entries(chosen.plan).map(([name, value]) => [`plan.${name}`, value] as const)
  return new Map<string, Value>([
    ...plan,
    ['training.batch_size', chosen.batch_size],
    ['training.gradient_accumulation', chosen.gradient_accumulation],
  ])
}

/** What the base says at a dotted key. */
export function declared(base: Base, key: string): Value {
  let value: unknown = base.spec
  for (const part of key.split('.')) value = (value as Record<string, unknown> | undefined)?.[part]
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : ''
}

/** The text that stands in a field. */
export function shown(base: Base, draft: Draft, key: string): string {
  return draft.typed[key] ?? String(declared(base, key))
}

export function isChanged(base: Base, draft: Draft, field: Field): boolean {
  const text = draft.typed[field.key]
  return text !== undefined && typedValue(field, text) !== declared(base, field.key)
}

/** `text` as the field's type. What is not a number stays text: the server says what is wrong with it. */
export function typedValue(field: Field, text: string): Value {
  if (field.kind === 'switch') return text === 'true'
  if (field.kind !== 'integer' && field.kind !== 'number') return text
  const number = Number(text)
  return text.trim() === '' || !Number.isFinite(number) ? text : number
}

export function overridesOf(base: Base, draft: Draft, all: readonly Section[]): Record<string, Value> {
  const fields = all.flatMap((section) => section.fields).filter((field) => isChanged(base, draft, field))
  return Object.fromEntries(fields.map((field) => [field.key, typedValue(field, draft.typed[field.key] ?? '')]))
}

export function requestOf(base: Base, draft: Draft, all: readonly Section[]): RunRequest {
  const tags = draft.tags
    .split(',')
    .map((tag) => tag.trim())
    .filter(Boolean)
  return {
    ...base.request,
    overrides: overridesOf(base, draft, all),
    ...(draft.name.trim() ? { name: draft.name.trim() } : {}),
    ...(draft.notes.trim() ? { notes: draft.notes } : {}),
    ...(tags.length > 0 ? { tags } : {}),
    ...(draft.launcher === 'local' ? {} : { launcher: draft.launcher }),
  }
}

/** The question whether what stands in the form would fit. */
export function questionOf(
  base: Base,
  draft: Draft,
  all: readonly Section[],
  asked: Pick<PreflightRequest, 'topology' | 'search'>,
): PreflightRequest {
  return { ...base.request, overrides: overridesOf(base, draft, all), ...asked }
}

/** The same request for a shell. A run that is not based on a shipped config has none. */
export function cliCommand(request: RunRequest): string | undefined {
  if (!request.config) return undefined
  const settings = Object.entries(request.overrides ?? {}).map(([key, value]) => `--set ${quoted(`${key}=${value}`)}`)
  const name = request.name ? [`--name ${quoted(request.name)}`] : []
  const launcher = request.launcher && request.launcher !== 'local' ? [`--launcher ${request.launcher}`] : []
  return ['assay launch', quoted(request.config), ...launcher, ...name, ...settings].join(' ')
}

export function curlCommand(request: RunRequest, origin: string): string {
  return `curl -s ${origin}/runs -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(request))}`
}

function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
