import type { BundleSummary } from '../../../api/types.ts'
import { rungs } from '../levels.ts'
import type { GallerySearch, Sort, VerdictWord } from '../search.ts'

/** The bundles that match words and choices, in the order that was chosen. */
export function filtered(bundles: readonly BundleSummary[], search: GallerySearch): BundleSummary[] {
  const words = (search.q ?? '').toLowerCase().split(/\s+/).filter(Boolean)
  const least = rungs(search.level ?? '')
  return bundles
    .filter((bundle) => !search.verdict || verdictOf(bundle) === search.verdict)
    .filter((bundle) => rungs(bundle.level) >= least)
    .filter((bundle) => !search.outcome || bundle.outcome === search.outcome)
    .filter((bundle) => !search.hardware || bundle.hardware === search.hardware)
    .filter((bundle) => words.every((word) => described(bundle).includes(word)))
    .sort(ORDER[search.sort ?? 'newest'])
}

/** A failed check is a failed verification, whatever level is reached. */
export function verdictOf(bundle: Pick<BundleSummary, 'valid' | 'level'>): VerdictWord {
  return !bundle.valid ? 'failed' : bundle.level ? 'verified' : 'unverified'
}

type Order = (a: BundleSummary, b: BundleSummary) => number

const newest: Order = (a, b) => (b.finished_at ?? '').localeCompare(a.finished_at ?? '')

/** What has no number stands behind all that have one. */
const ORDER: Record<Sort, Order> = {
  newest,
  level: (a, b) => Number(b.valid) - Number(a.valid) || rungs(b.level) - rungs(a.level) || newest(a, b),
  loss: (a, b) => (a.final_loss ?? Number.MAX_VALUE) - (b.final_loss ?? Number.MAX_VALUE) || newest(a, b),
  score: (a, b) => (b.exact_match ?? -1) - (a.exact_match ?? -1) || newest(a, b),
  name: (a, b) => a.name.localeCompare(b.name),
}

function described(bundle: BundleSummary): string {
  const { name, run_id, sentence, hardware, model, outcome } = bundle
  return [name, run_id, sentence, hardware, model, outcome].join(' ').toLowerCase()
}
