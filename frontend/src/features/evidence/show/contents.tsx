/** The parts of the page that there are, beside it where there is room. */
export function Contents({ parts }: { readonly parts: readonly (readonly [anchor: string, title: string])[] }) {
  return (
    <nav aria-label="On this page" className="no-print sticky top-20 hidden self-start xl:block">
      <ul className="border-l border-line text-sm">
        {parts.map(([anchor, title]) => (
          <li key={anchor}>
            <a
              href={`#${anchor}`}
              className="-ml-px flex min-h-8 items-center border-l-2 border-transparent pl-3 text-ink-2 hover:border-accent hover:text-ink"
            >
              {title}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  )
}
