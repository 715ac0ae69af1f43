import { screen, waitFor, within } from '@testing-library/react'
import { HttpResponse, http } from 'msw'
import { beforeEach, describe, expect, test } from 'vitest'
import type { RunRequest, RunSummary } from '../../../api/types.ts'
import { FakeEventSource } from '../../../test/event-source.ts'
import { aRun, aSummary } from '../../../test/fixtures.ts'
import { setWide, visit } from '../../../test/render.tsx'
import { answer, ORIGIN, refuse, server } from '../../../test/server.ts'

function withRuns(...runs: RunSummary[]): void {
  server.use(answer('/runs', { runs, total: runs.length, next_cursor: null }))
}

const failed = aSummary({
  id: 'f',
  name: 'broken-one',
  state: 'failed',
  reason: 'The loss was NaN at step 7.',
  tags: [],
})
const queued = aSummary({
  id: 'q',
  name: 'waiting',
  state: 'queued',
  step: 0,
  loss: null,
  queue_position: 2,
  spark: [],
})

describe('runs', () => {
  beforeEach(() => setWide(true))

  test('a row tells state, progress, loss and hardware', async () => {
    withRuns(aSummary())
    visit('/runs')
    const row = await screen.findByRole('row', { name: /tiny/ })
    for (const text of ['Running', '12 / 30', 'ETA 48 s', '2.412', '25 %', '15.3k', '1 × cpu'])
      expect(row).toHaveTextContent(text)
    expect(document.title).toBe('Runs · Assay')
  })

  test('what the watchers noticed stands beside the state', async () => {
    withRuns(
      aSummary({ alerts: [{ code: 'disk', message: 'The disk is nearly full.', since: '2026-01-31T12:00:05Z' }] }),
    )
    visit('/runs')
    expect(await screen.findByRole('img', { name: 'Warning: The disk is nearly full.' })).toBeVisible()
  })

  test('a failed run says why in the list', async () => {
    withRuns(failed)
    visit('/runs')
    expect(await screen.findByText('The loss was NaN at step 7.')).toBeVisible()
  })

  test('the stream moves a row, and brings new ones', async () => {
    withRuns(aSummary())
    visit('/runs')
    await screen.findByText('2.412')
    FakeEventSource.latest.open()
    FakeEventSource.latest.send('summary', aSummary({ step: 30, loss: 1.5, state: 'finished' }))
    FakeEventSource.latest.send('summary', queued)
    expect(await screen.findByText('1.500')).toBeVisible()
    expect(screen.getByText('Queued · place 2')).toBeVisible()
    expect(screen.getByText('2 runs, 1 of them live')).toBeVisible()
    expect(screen.getByText('Live')).toBeVisible()
  })

  test('a run that is gone leaves the list', async () => {
    withRuns(aSummary(), queued)
    visit('/runs')
    await screen.findByText('Queued · place 2')
    FakeEventSource.latest.send('gone', { run: 'q' })
    expect(await screen.findByText('1 run, 1 of them live')).toBeVisible()
    expect(screen.queryByText('Queued · place 2')).toBeNull()
  })

  test('a list that was cut off is asked for anew', async () => {
    withRuns(aSummary(), queued)
    visit('/runs')
    await screen.findByText('Queued · place 2')
    FakeEventSource.latest.send('hello', { server_time: '' })
    withRuns(aSummary())
    FakeEventSource.latest.send('hello', { server_time: '' })
    await waitFor(() => expect(screen.queryByText('Queued · place 2')).toBeNull())
  })

  test('a row that waits says for what, and is moved', async () => {
    const reason = 'Waits for the cpu: tiny is running on it and 1 run is before it.'
    withRuns(aSummary(), { ...queued, reason })
    const asked: unknown[] = []
    server.use(
      http.post(`${ORIGIN}/runs/q/move`, async ({ request }) => {
        asked.push(await request.json())
        return HttpResponse.json(aRun({ ...queued, queue_position: 1 }))
      }),
    )
    const { user } = visit('/runs')
    expect(await screen.findByText(reason)).toBeVisible()
    expect(screen.queryByRole('button', { name: 'Later: tiny' })).toBeNull()
    await user.click(screen.getByRole('button', { name: 'Earlier: waiting' }))
    await user.click(screen.getByRole('button', { name: 'Later: waiting' }))
    await waitFor(() => expect(asked).toEqual([{ position: 1 }, { position: 3 }]))
  })

  test('words and state narrow the list and stand in the address', async () => {
    withRuns(aSummary(), failed, queued)
    const { user, address } = visit('/runs')
    await user.type(await screen.findByRole('searchbox'), 'baseline')
    await waitFor(() => expect(screen.getAllByRole('link', { name: /tiny|waiting|broken/ })).toHaveLength(2))
    expect(address()).toContain('q=baseline')
    await user.click(screen.getByRole('button', { name: /Failed/ }))
    expect(await screen.findByText('0 of 3 runs match.')).toBeVisible()
    await user.click(screen.getByRole('link', { name: 'Clear the filter' }))
    expect(await screen.findByText('The loss was NaN at step 7.')).toBeVisible()
  })

  test('archived runs are put aside and shown on demand', async () => {
    withRuns(aSummary(), aSummary({ id: 'a', name: 'put-aside', archived: true }))
    const { user, address } = visit('/runs')
    expect(await screen.findByText('2 runs, 2 of them live, 1 archived')).toBeVisible()
    expect(screen.queryByText('put-aside')).toBeNull()
    await user.click(screen.getByRole('button', { name: 'Archive 1' }))
    expect(await screen.findByText('put-aside')).toBeVisible()
    expect(address()).toContain('archived=true')
    FakeEventSource.latest.send('summary', aSummary({ id: 'a', name: 'put-aside', archived: false }))
    expect(await screen.findByText('The archive is empty')).toBeVisible()
    await user.click(screen.getByRole('link', { name: 'All runs' }))
    expect(await screen.findByText('put-aside')).toBeVisible()
  })

  test('when every run is archived, the way to them is shown', async () => {
    withRuns(aSummary({ archived: true }))
    const { user } = visit('/runs')
    await user.click(await screen.findByRole('link', { name: 'Open the archive' }))
    expect(await screen.findByRole('row', { name: /tiny/ })).toBeVisible()
  })

  test('keys walk the rows and open one', async () => {
    withRuns(aSummary(), failed)
    const { user, address } = visit('/runs')
    await screen.findAllByText('2.412')
    await user.keyboard('jjk')
    await user.keyboard('{Enter}')
    await waitFor(() => expect(address()).toContain(aSummary().id))
  })

  test('a narrow screen has cards', async () => {
    setWide(false)
    withRuns(aSummary(), failed)
    visit('/runs')
    const cards = await screen.findAllByRole('listitem')
    expect(cards).toHaveLength(2)
    expect(within(cards[0] as HTMLElement).getByText('step 12 of 30')).toBeVisible()
  })

  test('an empty folder offers the demo, and starts it', async () => {
    let asked: RunRequest | undefined
    server.use(
      http.post(`${ORIGIN}/runs`, async ({ request }) => {
        asked = (await request.json()) as RunRequest
        return HttpResponse.json(aRun(), { status: 201 })
      }),
    )
    const { user, address } = visit('/runs')
    await user.click(await screen.findByRole('button', { name: 'Start the demo run' }))
    await waitFor(() => expect(address()).toContain('/runs/2026'))
    expect(asked).toEqual({ config: 'demo_reasoning' })
  })

  test('a server that is gone is said in words, and can be asked again', async () => {
    server.use(http.get(`${ORIGIN}/runs`, () => HttpResponse.error()))
    const { user } = visit('/runs')
    expect(await screen.findByText(/The server does not answer/)).toBeVisible()
    withRuns(aSummary())
    await user.click(screen.getByRole('button', { name: 'Try again' }))
    expect(await screen.findByText('2.412')).toBeVisible()
  })

  test('an error without a reason is still an error', async () => {
    server.use(http.get(`${ORIGIN}/runs`, () => new HttpResponse(null, { status: 500 })))
    visit('/runs')
    expect(await screen.findByText(/answered 500/)).toBeVisible()
    server.use(refuse('get', '/runs', { status: 503 }))
  })
})
