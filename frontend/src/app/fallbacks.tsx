import { type ErrorComponentProps, Link } from '@tanstack/react-router'
import { buttonClass } from '../ui/button.tsx'
import { Empty, Failure } from '../ui/notice.tsx'
import { useTitle } from '../ui/page.tsx'

/** A page that broke while it was drawn: the rest of the application stays. */
export function Broken({ error, reset }: ErrorComponentProps) {
  useTitle('Something broke')
  return (
    <>
      <h1 className="sr-only">Something broke</h1>
      <Failure
        title="This page broke while it was drawn."
        reason={error instanceof Error ? error.message : String(error)}
        retry={reset}
      />
    </>
  )
}

export function NotFound() {
  useTitle('Not found')
  return (
    <>
      <h1 className="sr-only">Not found</h1>
      <Empty title="There is no such page.">
        <p>The address may be mistyped, or what was here has been removed.</p>
        <Link to="/runs" className={buttonClass('primary')}>
          Go to runs
        </Link>
      </Empty>
    </>
  )
}
