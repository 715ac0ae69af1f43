/** The mark: an assayer's punch, its A crossed by a falling curve. */
export function Logo({ size = 26 }: { readonly size?: number }) {
  return (
    <svg aria-hidden width={size} height={size} viewBox="0 0 32 32" fill="none" strokeLinecap="round">
      <path className="fill-accent" d="M9.5 1h13L31 9.5v13L22.5 31h-13L1 22.5v-13z" />
      <path className="stroke-on-accent" strokeWidth="2.4" strokeLinejoin="round" d="M8.5 25 16 6.5 23.5 25" />
      <path className="stroke-on-accent" strokeWidth="2.4" d="M7 13.5c5 0 5.5 5.5 9.5 5.5H25" />
    </svg>
  )
}
