import type { Bundle, Signature, Statement } from '../../../api/types.ts'
import { Badge, type Tone } from '../../../ui/badge.tsx'
import { CopyButton } from '../../../ui/copy.tsx'
import { Facts } from '../../../ui/facts.tsx'
import { count } from '../../../ui/format.ts'
import { Panel } from '../../../ui/panel.tsx'
import { placeAnchor } from '../address.ts'
import { SignatureBadge } from '../badges.tsx'
import { at, numberAt, textAt } from '../manifest.ts'

const MEANING: Record<Signature['state'], string> = {
  unsigned:
    'Nobody has signed this bundle. That takes nothing from what its own bytes prove, and says nothing of who made it.',
  trusted: 'The signature covers every sealed file, by a key that this server knew before it saw the bundle.',
  unknown:
    'It names a key that nobody here has said to trust, so the signature cannot be checked and counts for nothing. Pin the key, got from its owner, not from here: assay key trust FILE --name NAME.',
  invalid: 'A signature does not hold. Do not rely on what it says of who made this bundle.',
}
const TONE: Record<Statement['state'], Tone> = { trusted: 'good', unknown: 'warn', invalid: 'bad' }

/** Who stands behind the sealed bytes, and who saw the run while it went on. */
export function Signatures({ bundle }: { readonly bundle: Bundle }) {
  const { signature } = bundle
  return (
    <Panel
      title="Signatures and witness"
      id="signatures"
      aside={
        signature.state === 'unsigned' ? (
          <Badge tone="neutral">Unsigned</Badge>
        ) : (
          <SignatureBadge signature={signature} />
        )
      }
    >
      <p className="text-sm text-ink-2">{meaning(signature)}</p>
      {signature.key_sha256 && (
        <p className="mt-2 flex flex-wrap items-center gap-x-2 text-sm">
          <span className="text-ink-3">Key</span>
          <code className="min-w-0 font-mono text-xs break-all">{signature.key_sha256}</code>
          <span className="no-print">
            <CopyButton iconOnly text={signature.key_sha256} label="Copy the key's fingerprint" />
          </span>
        </p>
      )}
      {signature.statements.length > 0 && (
        <ul aria-label="Statements" className="mt-3 grid gap-2">
          {signature.statements.map((statement) => (
            <li key={statement.file} className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm">
              <Badge tone={TONE[statement.state]}>{statement.state}</Badge>
              <span className="min-w-0 wrap-anywhere">
                {statement.says}
                {statement.signer && <span className="text-ink-3">, by {statement.signer}</span>}
              </span>
              <a
                href={placeAnchor({ path: statement.file })}
                className="prose-link inline-flex min-h-6 items-center text-xs break-all"
              >
                {statement.file}
              </a>
            </li>
          ))}
        </ul>
      )}
      <Witness bundle={bundle} />
    </Panel>
  )
}

/** A key that came with the repository is known by name; whose it is, one learns elsewhere. */
function meaning({ state, signer }: Signature): string {
  if (state !== 'unknown' || !signer) return MEANING[state]
  return `The signature holds, by the key that this repository names ${signer}. Whether it is theirs, ask them, not the repository; then pin it: assay key trust FINGERPRINT --name ${signer}.`
}

function Witness({ bundle }: { readonly bundle: Bundle }) {
  const witness = at(bundle.manifest, 'witness')
  const key = textAt(witness, 'public_key_sha256')
  const check = bundle.results.find((result) => result.id === 'SIG-06')
  const verdict = check?.result === 'pass' ? 'Its receipts hold.' : (check?.findings[0]?.sentence ?? check?.reason)
  return (
    <div className="mt-4 border-t border-line pt-3">
      <h3 className="mb-1 text-sm font-medium">Witness</h3>
      {key ? (
        <Facts
          facts={[
            { term: 'Countersigned by', value: <code className="font-mono text-xs break-all">{key}</code> },
            {
              term: 'Receipts',
              value: (
                <a href={placeAnchor({ path: 'witness/receipts.jsonl' })} className="prose-link">
                  {count(numberAt(witness, 'receipt_count'))} heads of the chain
                </a>
              ),
            },
            ...(at(witness, 'same_host') === true
              ? [{ term: 'Where', value: 'on the machine that trained: its own operator could have made them' }]
              : []),
            ...(verdict ? [{ term: 'Checked', value: verdict }] : []),
          ]}
        />
      ) : (
        <p className="text-sm text-ink-2 first-letter:uppercase">
          {textAt(witness, 'because') ?? 'nobody countersigned the rows while the run went on'}.
        </p>
      )}
    </div>
  )
}
