import type { Preflight } from '../../api/types.ts'
import { classes } from '../../ui/classes.ts'
import { utc } from '../../ui/format.ts'
import { asked, OutcomeBadge } from './outcome.tsx'

/** First on the page: the answer, in one sentence. */
export function Verdict({ preflight }: { readonly preflight: Preflight }) {
  return (
    <section
      aria-label="Verdict"
      className={classes(
        'grid gap-4 rounded-xl border bg-panel p-5 sm:p-7',
        preflight.fits ? 'border-line' : 'border-bad',
      )}
    >
      <OutcomeBadge preflight={preflight} />
      <p className="max-w-3xl font-serif text-xl leading-relaxed text-balance sm:text-2xl sm:leading-relaxed">
        {preflight.verdict}
      </p>
      <p className="text-sm text-ink-2 first-letter:uppercase">
        {asked(preflight)} · {preflight.config} · asked {utc(preflight.created_at)}
      </p>
    </section>
  )
}
