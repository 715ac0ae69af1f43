import { useMutation, useQuery } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { Play } from 'lucide-react'
import { useMemo, useState } from 'react'
import { api } from '../../../api/client.ts'
import { ApiError } from '../../../api/problems.ts'
import type { Config, Configs, Preflight, Problem, Run } from '../../../api/types.ts'
import { Button } from '../../../ui/button.tsx'
import { CopyButton } from '../../../ui/copy.tsx'
import { Empty, Failure } from '../../../ui/notice.tsx'
import { PageHead, useTitle } from '../../../ui/page.tsx'
import { Segmented } from '../../../ui/segmented.tsx'
import { Switch } from '../../../ui/switch.tsx'
import { configsQuery, preflightQuery, runQuery } from '../queries.ts'
import {
  again,
  type Base,
  BLANK,
  cliCommand,
  curlCommand,
  type Draft,
  foreseen,
  fromConfig,
  type Launcher,
  overridesOf,
  questionOf,
  requestOf,
} from './draft.ts'
import { ErrorSummary } from './error-summary.tsx'
import { PresetPicker } from './preset-picker.tsx'
import { sections } from './schema.ts'
import { fieldId } from './spec-field.tsx'
import { SpecForm } from './spec-form.tsx'
import { WillItFit } from './will-it-fit.tsx'

const route = getRouteApi('/runs/new')

export function NewRunPage() {
  useTitle('New run')
  const { from, preflight } = route.useSearch()
  const configs = useQuery(configsQuery)
  const source = useQuery({ ...runQuery(from ?? ''), enabled: from !== undefined })
  const foretold = useQuery({ ...preflightQuery(preflight ?? ''), enabled: preflight !== undefined })
  const error = configs.error ?? source.error ?? foretold.error
  const ready = (!from || source.data) && (!preflight || foretold.data)
  return (
    <div className="grid min-w-0 grid-cols-1 gap-5">
      <PageHead title="New run" lead="Choose a preset, change what you want to know more about, start." />
      {error && (
        <Failure title="The form cannot be drawn." reason={error.message} retry={() => void configs.refetch()} />
      )}
      {!error && !(configs.data && ready) && <div className="skeleton h-96 rounded-xl" />}
      {configs.data && ready && (
        <Form
          key={`${from} ${preflight}`}
          configs={configs.data}
          source={from ? source.data : undefined}
          preflight={preflight ? foretold.data : undefined}
        />
      )}
    </div>
  )
}

interface FormProps {
  readonly configs: Configs
  /** The run to ask for once more. */
  readonly source: Run | undefined
  /** The preflight whose run is to be started. */
  readonly preflight: Preflight | undefined
}

function Form({ configs, source, preflight }: FormProps) {
  const search = route.useSearch()
  const navigate = useNavigate()
  const all = useMemo(() => sections(configs.schema), [configs.schema])
  const [copied] = useState(
    () => (source && again(source, configs.configs)) ?? (preflight && foreseen(preflight, configs.configs, all)),
  )
  const [draft, setDraft] = useState<Draft>(copied?.draft ?? BLANK)
  const [onlyChanged, setOnlyChanged] = useState(false)
  const preset = chosenConfig(configs.configs, search.preset)
  const base: Base | undefined = copied && !search.preset ? copied.base : preset && fromConfig(preset)
  const start = useMutation({
    mutationFn: api.createRun,
    onSuccess: (run) => navigate({ to: '/runs/$runId', params: { runId: run.id } }),
  })
  const [refused, setRefused] = useState<Error>()
  if (!base)
    return (
      <Empty title="There is no config to start from">
        <p>Put one into training/configs.</p>
      </Empty>
    )
  const error = start.error ?? refused
  const problem = error ? problemOf(error) : undefined
  const problems = new Map(problem?.errors.map((error) => [error.field, error.message]))
  const request = requestOf(base, draft, all)
  const changes = Object.keys(overridesOf(base, draft, all)).length
  const command = cliCommand(request)
  const type = (key: string, text: string | undefined) => {
    const { [key]: _, ...rest } = draft.typed
    setDraft({ ...draft, typed: text === undefined ? rest : { ...rest, [key]: text } })
  }
  return (
    <form
      noValidate
      className="grid min-w-0 grid-cols-1 gap-4"
      onSubmit={(event) => {
        event.preventDefault()
        setRefused(undefined)
        start.mutate(request)
      }}
      onKeyDown={(event) => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit()
      }}
    >
      {problem && (
        <ErrorSummary problem={problem} title={start.error ? 'The run was not started' : 'It was not asked'} />
      )}
      <PresetPicker
        configs={configs.configs}
        chosen={base.label}
        onChoose={(name) => void navigate({ to: '/runs/new', search: { ...search, preset: name }, replace: true })}
      />
      <Words base={base} draft={draft} problems={problems} onChange={setDraft} />
      {configs.launchers.length > 1 && (
        <Where
          launchers={configs.launchers}
          chosen={draft.launcher}
          problem={problems.get('launcher')}
          onChoose={(launcher) => setDraft({ ...draft, launcher })}
        />
      )}
      <div className="flex flex-wrap items-center justify-between gap-x-6 gap-y-2 pt-2">
        <h2 className="text-sm font-semibold">
          Settings{' '}
          <span className="font-normal text-ink-2">
            {changes === 0 ? `as in ${base.label}` : `${changes} changed from ${base.label}`}
          </span>
        </h2>
        <Switch label="Only changed" checked={onlyChanged} onChange={setOnlyChanged} />
      </div>
      {onlyChanged && changes === 0 && <p className="text-sm text-ink-2">Nothing is changed.</p>}
      <SpecForm
        sections={all}
        base={base}
        draft={draft}
        problems={problems}
        dataFiles={configs.data_files}
        onlyChanged={onlyChanged}
        onType={type}
      />
      <div className="sticky bottom-0 -mx-4 flex flex-wrap items-center gap-x-1 gap-y-2 sm:gap-x-2 border-t border-line bg-paper/92 px-4 py-3 backdrop-blur sm:mx-0 sm:px-0">
        <Button type="submit" look="primary" disabled={start.isPending}>
          <Play aria-hidden size={15} /> {start.isPending ? 'Starting' : 'Start run'}
        </Button>
        <WillItFit
          questionFor={(asked) => questionOf(base, draft, all, asked)}
          onRefused={(error) => {
            start.reset()
            setRefused(error)
          }}
        />
        <div className="ml-auto flex flex-wrap sm:gap-1">
          {command && <CopyButton text={command} label="Copy as CLI command" />}
          <CopyButton text={curlCommand(request, location.origin)} label="Copy as curl" />
        </div>
      </div>
    </form>
  )
}

const PLACES: Readonly<Record<Launcher, { label: string; says: string }>> = {
  local: { label: 'This machine', says: 'The trainer starts here, as soon as its device is free.' },
  kaggle: {
    label: 'Kaggle',
    says: 'A notebook with this commit is pushed to your account; its session is watched here, and what it leaves comes back. Set device to tpu. Data and weights have to be attached there.',
  },
}

interface WhereProps {
  readonly launchers: readonly Launcher[]
  readonly chosen: Launcher
  readonly problem: string | undefined
  readonly onChoose: (launcher: Launcher) => void
}

/** Where the run takes place. */
function Where({ launchers, chosen, problem, onChoose }: WhereProps) {
  const options = launchers.map((value) => ({ value, label: PLACES[value].label }))
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-2 rounded-xl border border-line bg-panel p-4">
      <span className="text-sm font-medium">Where</span>
      <Segmented id={fieldId('launcher')} label="Where" options={options} value={chosen} onChange={onChoose} />
      <p className="min-w-0 text-sm text-ink-2">{PLACES[chosen].says}</p>
      {problem && <p className="w-full text-sm text-bad">{problem}</p>}
    </div>
  )
}

interface WordsProps {
  readonly base: Base
  readonly draft: Draft
  readonly problems: ReadonlyMap<string, string>
  readonly onChange: (draft: Draft) => void
}

/** What people call the run. */
function Words({ base, draft, problems, onChange }: WordsProps) {
  const fields = [
    { key: 'name', title: 'Name', placeholder: String(base.spec.name ?? base.label) },
    { key: 'tags', title: 'Tags', placeholder: 'baseline, gsm8k' },
    { key: 'notes', title: 'Notes', placeholder: 'What this run is meant to find out' },
  ] as const
  return (
    <div className="grid gap-4 rounded-xl border border-line bg-panel p-4 sm:grid-cols-2 lg:grid-cols-3">
      {fields.map((field) => {
        const problem = problems.get(field.key)
        return (
          <div key={field.key} className="min-w-0">
            <label htmlFor={fieldId(field.key)} className="text-sm font-medium">
              {field.title}
            </label>
            <input
              id={fieldId(field.key)}
              className="field mt-1 text-sm"
              value={draft[field.key]}
              placeholder={field.placeholder}
              aria-invalid={problem ? true : undefined}
              aria-describedby={problem ? `${fieldId(field.key)}-problem` : undefined}
              onChange={(event) => onChange({ ...draft, [field.key]: event.target.value })}
            />
            {problem && (
              <p id={`${fieldId(field.key)}-problem`} className="mt-1 text-sm text-bad">
                {problem}
              </p>
            )}
          </div>
        )
      })}
    </div>
  )
}

function chosenConfig(configs: readonly Config[], name: string | undefined): Config | undefined {
  const sound = configs.filter((config) => config.problem === null)
  return sound.find((config) => config.name === name) ?? sound[0]
}

function problemOf(error: Error): Problem {
  if (error instanceof ApiError) return error.problem
  return { title: error.message, detail: error.message, status: 0, errors: [], findings: [] }
}
