import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Gauge } from 'lucide-react'
import { useId, useState } from 'react'
import { api } from '../../api/client.ts'
import type { TopologyChoice } from '../../api/types.ts'
import { Button } from '../../ui/button.tsx'
import { Failure } from '../../ui/notice.tsx'
import { Switch } from '../../ui/switch.tsx'
import { bytes } from './numbers.ts'
import { configsQuery, preflightsQuery } from './queries.ts'

const FIRST_CHOICE = { config: 'submission_tpu', topology: 'v5e-8' }

/** Asks about a shipped config as it stands. With other settings, the new-run form asks. */
export function AskForm({ topologies }: { readonly topologies: readonly TopologyChoice[] }) {
  const navigate = useNavigate()
  const queries = useQueryClient()
  const id = useId()
  const configs = useQuery(configsQuery)
  const sound = configs.data?.configs.filter((item) => item.problem === null) ?? []
  const [wanted, setWanted] = useState(FIRST_CHOICE)
  const [search, setSearch] = useState(false)
  const [largest, setLargest] = useState(false)
  const config = sound.find((item) => item.name === wanted.config)?.name ?? sound[0]?.name
  const ask = useMutation({
    mutationFn: api.createPreflight,
    onSuccess: (answer) => {
      void queries.invalidateQueries({ queryKey: preflightsQuery.queryKey })
      return navigate({ to: '/preflights/$preflightId', params: { preflightId: answer.id } })
    },
  })
  return (
    <form
      aria-label="Ask"
      className="grid gap-4 rounded-xl border border-line bg-panel p-4"
      onSubmit={(event) => {
        event.preventDefault()
        if (config) ask.mutate({ config, topology: wanted.topology, search, largest })
      }}
    >
      <div className="grid items-end gap-4 sm:grid-cols-2 lg:grid-cols-[1fr_1.4fr_auto_auto_auto]">
        <div className="min-w-0">
          <label htmlFor={`${id}-config`} className="text-sm font-medium">
            Config
          </label>
          <select
            id={`${id}-config`}
            className="field mt-1 text-sm"
            value={config ?? ''}
            onChange={(event) => setWanted({ ...wanted, config: event.target.value })}
          >
            {sound.map((item) => (
              <option key={item.name}>{item.name}</option>
            ))}
          </select>
        </div>
        <div className="min-w-0">
          <label htmlFor={`${id}-topology`} className="text-sm font-medium">
            On
          </label>
          <select
            id={`${id}-topology`}
            className="field mt-1 text-sm"
            value={wanted.topology}
            onChange={(event) => setWanted({ ...wanted, topology: event.target.value })}
          >
            {topologies.map((item) => (
              <option key={item.name} value={item.name}>
                {item.name}: {item.devices} × {item.device_kind}, {bytes(item.memory_bytes)} each
              </option>
            ))}
          </select>
        </div>
        <Switch label="Search plans" checked={search} onChange={setSearch} />
        <Switch label="Largest batch" checked={largest} onChange={setLargest} />
        <Button type="submit" look="primary" disabled={ask.isPending || !config}>
          <Gauge aria-hidden size={15} /> {ask.isPending ? 'Asking' : 'Will it fit?'}
        </Button>
      </div>
      {ask.error && <Failure title="It was not asked." reason={ask.error.message} />}
    </form>
  )
}
