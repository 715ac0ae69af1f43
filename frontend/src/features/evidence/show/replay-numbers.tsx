import { Facts } from '../../../ui/facts.tsx'
import { numberAt, textAt } from '../manifest.ts'

/** What a replay measured beside what the verifier allows. */
export function ReplayNumbers({ result }: { readonly result: unknown }) {
  const facts = [
    ['Tier', textAt(result, 'tier')],
    ['Segment', numberAt(result, 'from_step')],
  ]
  return (
    <Facts facts={facts.flatMap(([term, value]) => (value === undefined ? [] : [{ term: String(term), value }]))} />
  )
}
