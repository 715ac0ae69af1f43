import { createMemoryHistory } from '@tanstack/react-router'
import { render } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { App } from '../app/app.tsx'

/** The whole application at an address, with a user in front of it. */
export function visit(address: string) {
  const history = createMemoryHistory({ initialEntries: [address] })
  render(<App history={history} />)
  return { user: userEvent.setup(), history, address: () => history.location.href }
}

/** Makes the window wide (a table) or narrow (cards). */
export function setWide(wide: boolean): void {
  window.happyDOM?.setViewport({ width: wide ? 1440 : 390, height: 900 })
}

declare global {
  interface Window {
    readonly happyDOM?: { setViewport(size: { width: number; height: number }): void }
  }
}
