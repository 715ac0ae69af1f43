import { lazy, Suspense } from 'react'
import type { Run } from '../../../api/types.ts'
import { CopyButton } from '../../../ui/copy.tsx'
import { type Fact, Facts } from '../../../ui/facts.tsx'
import { bytes, count, duration, short, utc } from '../../../ui/format.ts'
import { Panel } from '../../../ui/panel.tsx'
import { record, sourceOf } from './launch.ts'
import { PreflightPanel } from './preflight-panel.tsx'

const UsageCharts = lazy(() => import('./usage-charts.tsx').then((module) => ({ default: module.UsageCharts })))

type Facet = Readonly<Record<string, unknown>>

/** What it ran on and what ran: every fact as the run itself recorded it. */
export function SystemTab({ run }: { readonly run: Run }) {
  const parts: readonly { title: string; facts: readonly Fact[] }[] = [
    { title: 'Devices', facts: run.devices ? deviceFacts(run.devices) : [] },
    { title: 'Model', facts: run.model ? modelFacts(run.model) : [] },
    { title: 'Compiled step', facts: run.program ? programFacts(run.program) : [] },
    { title: 'Data', facts: run.data ? dataFacts(run.data) : [] },
    { title: 'Source', facts: sourceFacts(run) },
    { title: 'Host', facts: hostFacts(run) },
  ]
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <div className="min-w-0 lg:col-span-2">
        <Panel title="What its processes use">
          <Suspense fallback={<div className="skeleton h-40 rounded-xl" />}>
            <UsageCharts run={run} />
          </Suspense>
        </Panel>
      </div>
      {run.preflight && <PreflightPanel preflight={run.preflight} />}
      {parts.map(({ title, facts }) => (
        <Panel key={title} title={title}>
          {facts.length > 0 ? <Facts facts={facts} /> : <p className="text-sm text-ink-3">Not known yet.</p>}
        </Panel>
      ))}
    </div>
  )
}

function deviceFacts(devices: Facet): Fact[] {
  const mesh = Object.entries(record(devices.mesh) ?? {}).map(([axis, size]) => `${axis} ${size}`)
  return [
    { term: 'Platform', value: words(devices.platform) },
    { term: 'Kind', value: words(devices.device_kind) },
    { term: 'Used', value: `${devices.devices_used} of ${list(devices.devices).length}` },
    { term: 'Mesh', value: mesh.join(' × ') },
    { term: 'Layout', value: words(devices.layout) },
    { term: 'Processes', value: words(devices.process_count) },
    { term: 'Runtime', value: words(devices.runtime) },
  ]
}

function modelFacts(model: Facet): Fact[] {
  return [
    { term: 'Parameters', value: `${count(number(model.parameters))} (${short(number(model.parameters))})` },
    { term: 'Trained', value: count(number(model.trainable_parameters)) },
    { term: 'Weights', value: `${words(model.weights)}, ${bytes(number(model.parameter_bytes))}` },
    { term: 'Optimizer state', value: bytes(number(model.optimizer_bytes)) },
    { term: 'Digest before step 1', value: <Digest text={words(model.parameters_digest)} /> },
  ]
}

function programFacts(program: Facet): Fact[] {
  return [
    { term: 'Lowered for', value: words(program.lowered_for) },
    { term: 'Compiled in', value: duration(number(program.compile_seconds)) },
    { term: 'Arguments', value: bytes(number(program.argument_bytes)) },
    { term: 'Temporaries', value: bytes(number(program.temporary_bytes)) },
    { term: 'Outputs', value: bytes(number(program.output_bytes)) },
    { term: 'FLOPs per step', value: `${short(number(program.model_flops_per_step))} by the model's formula` },
    { term: 'StableHLO', value: <Digest text={words(program.program_sha256)} /> },
  ]
}

function dataFacts(data: Facet): Fact[] {
  const overlap = number(data.eval_overlap_rows)
  return [
    { term: 'Training rows', value: `${count(number(data.train_rows))} from ${words(record(data.train)?.path)}` },
    { term: 'Held-out rows', value: count(number(data.eval_rows)) },
    { term: 'Also trained on', value: overlap === 0 ? 'none of the held-out rows' : `${count(overlap)} held-out rows` },
    { term: 'Cut to length', value: `${count(number(data.truncated_rows))} rows` },
    { term: 'Tokenizer', value: `${words(data.tokenizer_kind)}, ${count(number(data.vocab_size))} entries` },
    { term: 'Training data', value: <Digest text={words(record(data.train)?.sha256)} /> },
  ]
}

function sourceFacts(run: Run): Fact[] {
  const source = sourceOf(run)
  const facts: Fact[] = [
    { term: 'Run', value: <span className="font-mono text-xs">{run.id}</span> },
    { term: 'Folder', value: <span className="font-mono text-xs">{run.directory}</span> },
  ]
  if (source)
    facts.push(
      { term: 'Commit', value: <Digest text={source.commit} /> },
      {
        term: 'Working tree',
        value: source.changed.length === 0 ? 'clean' : `changed: ${source.changed.slice(0, 8).join(', ')}`,
      },
    )
  if (source?.repository) facts.push({ term: 'Repository', value: source.repository })
  const command = list(run.launch?.command).map(String).join(' ')
  if (command) facts.push({ term: 'Command', value: <code className="font-mono text-xs break-all">{command}</code> })
  return facts
}

function hostFacts(run: Run): Fact[] {
  const host = record(run.launch?.host)
  if (!run.launch || !host) return []
  const wanted = /^(jax|jaxlib|libtpu|flax|optax|orbax-checkpoint|numpy|transformers)==/
  return [
    { term: 'Started', value: utc(words(run.launch.started_at)) },
    { term: 'Processor', value: `${words(host.cpu_model)}, ${words(host.logical_cpus)} logical` },
    { term: 'Memory', value: bytes(number(host.memory_bytes)) },
    { term: 'System', value: `${words(host.os)}, ${words(host.kernel)}` },
    { term: 'Python', value: words(run.launch.python) },
    {
      term: 'Packages',
      value: list(run.launch.packages)
        .map(String)
        .filter((name) => wanted.test(name))
        .map((name) => name.replace('==', ' '))
        .join(', '),
    },
  ]
}

function Digest({ text }: { readonly text: string }) {
  return (
    <span className="flex items-center gap-1 font-mono text-xs" title={text}>
      {text.slice(0, 16)}
      <CopyButton iconOnly text={text} label="Copy the digest" />
    </span>
  )
}

function words(value: unknown): string {
  return value === undefined || value === null || value === '' ? '–' : String(value)
}

function number(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
