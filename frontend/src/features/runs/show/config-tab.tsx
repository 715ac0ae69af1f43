import type { Run } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { CopyButton } from '../../../ui/copy.tsx'
import { Panel } from '../../../ui/panel.tsx'
import { record } from './launch.ts'

export function ConfigTab({ run }: { readonly run: Run }) {
  const changed = new Map(run.overrides.map((item) => [item.key, item]))
  const settings = flattened(run.spec)
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <Panel
        title={changed.size === 0 ? 'Effective settings' : `Effective settings, ${changed.size} changed`}
        aside={<CopyButton text={JSON.stringify(run.spec, null, 2)} label="Copy as JSON" />}
        flush
      >
        <dl className="py-2 font-mono text-xs">
          {settings.map(([key, value]) => {
            const override = changed.get(key)
            return (
              <div
                key={key}
                className={classes('grid gap-x-4 px-4 py-1 sm:grid-cols-[16rem_1fr]', override && 'bg-warn-soft')}
              >
                <dt className="wrap-anywhere text-ink-2">{key}</dt>
                <dd className="min-w-0 wrap-anywhere whitespace-pre-wrap">
                  {said(value)}
                  {override && <span className="text-warn"> instead of {said(override.declared)}</span>}
                </dd>
              </div>
            )
          })}
        </dl>
      </Panel>
      <Panel title={`As declared: ${run.config}`} aside={<CopyButton text={run.config_text} label="Copy" />} flush>
        <pre
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
          tabIndex={0}
          className="overflow-x-auto px-4 py-3 font-mono text-xs leading-5 -outline-offset-2"
        >
          {run.config_text}
        </pre>
      </Panel>
    </div>
  )
}

/** Every setting by its dotted key, in the order of the spec. */
export function flattened(spec: Readonly<Record<string, unknown>>, where = ''): [key: string, value: unknown][] {
  return Object.entries(spec).flatMap(([name, value]) => {
    const key = where ? `${where}.${name}` : name
    const inner = record(value)
    return inner ? flattened(inner, key) : [[key, value] as [string, unknown]]
  })
}

function said(value: unknown): string {
  return value === '' ? '(empty)' : typeof value === 'string' ? value : JSON.stringify(value)
}
