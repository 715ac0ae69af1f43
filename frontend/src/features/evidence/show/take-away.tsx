import { Download } from 'lucide-react'
import type { Bundle } from '../../../api/types.ts'
import { buttonClass } from '../../../ui/button.tsx'
import { Command } from '../../../ui/copy.tsx'
import { Panel } from '../../../ui/panel.tsx'
import { fileAddress } from '../address.ts'

/** How a stranger verifies without this server, and what to take along for it. */
export function TakeAway({ bundle }: { readonly bundle: Bundle }) {
  const home = `/evidence/${encodeURIComponent(bundle.name)}`
  return (
    <Panel title="Verify without this server" id="verify">
      <p className="mb-3 text-sm text-ink-2">
        Python 3.11 and the bundle are enough; nothing is installed. The second command needs none of our code.
      </p>
      <div className="grid gap-2">
        {bundle.verify_commands.map((command) => (
          <Command key={command} text={command} />
        ))}
      </div>
      <div className="no-print mt-4 flex flex-wrap items-center gap-2">
        <a className={buttonClass()} href={`${home}/archive.zip`} download>
          <Download aria-hidden size={15} /> Bundle as .zip
        </a>
        <a className={buttonClass()} href={`${home}/bag.zip`} download>
          <Download aria-hidden size={15} /> As a BagIt bag
        </a>
        {bundle.contents.some((file) => file.path === 'README.md') && (
          <a className="prose-link ml-1 text-sm" href={fileAddress(bundle.name, 'README.md')}>
            Its README, as plain text
          </a>
        )}
      </div>
    </Panel>
  )
}
