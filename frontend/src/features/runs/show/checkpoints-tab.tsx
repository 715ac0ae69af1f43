import { useQuery } from '@tanstack/react-query'
import type { Run } from '../../../api/types.ts'
import { CopyButton } from '../../../ui/copy.tsx'
import { bytes, count, digest, duration } from '../../../ui/format.ts'
import { Empty, Failure } from '../../../ui/notice.tsx'
import { Ago } from '../../../ui/time.tsx'
import { checkpointsQuery } from '../queries.ts'

export function CheckpointsTab({ run }: { readonly run: Run }) {
  const { data, error, refetch } = useQuery(checkpointsQuery(run.id))
  if (error)
    return <Failure title="The checkpoints cannot be loaded." reason={error.message} retry={() => void refetch()} />
  if (!data) return <div className="skeleton h-40 rounded-xl" />
  if (data.checkpoints.length === 0)
    return (
      <Empty title="No checkpoint yet">
        <p>The first is saved before step 1, the last when the run ends.</p>
      </Empty>
    )
  return (
    <section
      aria-label="Checkpoints"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
      tabIndex={0}
      className="relative overflow-x-auto rounded-xl border border-line bg-panel"
    >
      <table className="w-full text-left text-sm">
        <thead className="border-b border-line text-xs text-ink-3 [&_th]:px-4 [&_th]:py-2 [&_th]:font-medium">
          <tr>
            <th className="text-right">Step</th>
            <th>Saved</th>
            <th className="text-right">Size</th>
            <th className="text-right">Took</th>
            <th>Parameters digest</th>
            <th>Folder</th>
            <th>On disk</th>
          </tr>
        </thead>
        <tbody className="[&_td]:px-4 [&_td]:py-2 [&_td]:whitespace-nowrap [&_tr+tr_td]:border-t [&_tr+tr_td]:border-line">
          {data.checkpoints.map((item) => (
            <tr key={`${item.step} ${item.time}`}>
              <td className="text-right font-medium">{count(item.step)}</td>
              <td>
                <Ago time={item.time} />
              </td>
              <td className="text-right">{bytes(item.bytes)}</td>
              <td className="text-right">{duration(item.seconds)}</td>
              <td>
                <span className="flex items-center gap-1 font-mono text-xs" title={item.parameters_digest}>
                  {digest(item.parameters_digest)}
                  <CopyButton iconOnly text={item.parameters_digest} label={`Copy the digest of step ${item.step}`} />
                </span>
              </td>
              <td className="font-mono text-xs">{item.path}</td>
              <td className={item.on_disk ? undefined : 'text-ink-3'}>
                {item.on_disk ? 'yes' : 'pushed out by newer ones'}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}
