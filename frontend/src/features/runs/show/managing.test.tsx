import { screen, waitFor, within } from '@testing-library/react'
import { HttpResponse, http } from 'msw'
import { describe, expect, test } from 'vitest'
import type { Run } from '../../../api/types.ts'
import { aRun, RUN_ID } from '../../../test/fixtures.ts'
import { visit } from '../../../test/render.tsx'
import { answer, ORIGIN, refuse, server } from '../../../test/server.ts'

const PAGE = `/runs/${RUN_ID}`

const aCheckpoint = {
  time: '2026-01-31T12:01:00Z',
  path: 'checkpoints/step_000010',
  bytes: 1,
  tree_sha256: '',
  parameters_digest: '',
  optimizer_digest: '',
  seconds: 1,
}

function withRun(change: Partial<Run>): void {
  server.use(answer('/runs/:id', aRun({ ended_at: '2026-01-31T12:02:00Z', ...change })))
}

/** Answers a call with a run, and keeps the bodies it was sent. */
function take(method: 'post' | 'patch', path: string, status: number, change: Partial<Run>): unknown[] {
  const bodies: unknown[] = []
  server.use(
    http[method](ORIGIN + path, async ({ request }) => {
      const text = await request.text()
      bodies.push(text && JSON.parse(text))
      return HttpResponse.json(aRun(change), { status })
    }),
  )
  return bodies
}

describe('managing a run', () => {
  test('one that was stopped goes on', async () => {
    withRun({ state: 'stopped', reason: 'Stopped on request after step 12.' })
    const asked = take('post', `${PAGE}/resume`, 202, {
      state: 'queued',
      queue_position: 1,
      reason: 'Waits to go on after step 12.',
    })
    const { user } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Resume' }))
    expect(await screen.findByText('Waits to go on after step 12.')).toBeVisible()
    expect(screen.getByText('Queued · next')).toBeVisible()
    expect(screen.queryByRole('button', { name: 'Resume' })).toBeNull()
    expect(asked).toHaveLength(1)
    await user.click(screen.getByRole('button', { name: 'Stop' }))
    expect(await screen.findByText('It leaves the queue. What it has done so far is kept.')).toBeVisible()
  })

  test('from where one goes on is said before it does', async () => {
    withRun({ state: 'failed', reason: 'it broke' })
    const at = (step: number, on_disk: boolean) => ({ ...aCheckpoint, step, on_disk })
    server.use(answer('/runs/:id/checkpoints', { checkpoints: [at(10, false), at(1200, true), at(1300, false)] }))
    visit(PAGE)
    expect(await screen.findByRole('button', { name: 'Resume after step 1,200' })).toBeVisible()
  })

  test('one that waits says for what, and is moved', async () => {
    const reason = 'Waits for the cpu: other is running on it and 1 run is before it.'
    withRun({ state: 'queued', queue_position: 2, reason })
    const asked = take('post', `${PAGE}/move`, 200, { state: 'queued', queue_position: 1, reason: 'Next.' })
    const { user } = visit(PAGE)
    expect(await screen.findByText(reason)).toBeVisible()
    expect(screen.queryByRole('button', { name: 'Kill' })).toBeNull()
    await user.click(screen.getByRole('button', { name: 'Later' }))
    expect(await screen.findByText('Next.')).toBeVisible()
    expect(screen.getByRole('button', { name: 'To the front' })).toBeDisabled()
    expect(screen.getByRole('button', { name: 'Earlier' })).toBeDisabled()
    server.use(refuse('post', `${PAGE}/move`, { status: 409, detail: 'run x does not wait in the queue' }))
    await user.click(screen.getByRole('button', { name: 'Later' }))
    expect(await screen.findByText('run x does not wait in the queue')).toBeVisible()
    expect(asked).toEqual([{ position: 3 }])
  })

  test.each([
    ['Earlier', 2],
    ['To the front', 1],
  ])('one that waits goes %s', async (name, position) => {
    withRun({ state: 'queued', queue_position: 3, reason: '' })
    const asked = take('post', `${PAGE}/move`, 200, { state: 'queued', queue_position: position, reason: '' })
    const { user } = visit(PAGE)
    expect(await screen.findByText('It is about to start.')).toBeVisible()
    await user.click(screen.getByRole('button', { name }))
    await waitFor(() => expect(asked).toEqual([{ position }]))
  })

  test('one that does not stop is killed, after a word of what that costs', async () => {
    withRun({ state: 'stopping', reason: 'Stop requested.' })
    const asked = take('post', `${PAGE}/kill`, 202, { state: 'stopped', reason: 'Killed on request.' })
    const { user } = visit(PAGE)
    expect(await screen.findByRole('button', { name: 'Stopping' })).toBeDisabled()
    await user.click(screen.getByRole('button', { name: 'Kill' }))
    expect(await screen.findByText(/no checkpoint is waited for/)).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Keep running' }))
    expect(asked).toHaveLength(0)
    await user.click(screen.getByRole('button', { name: 'Kill' }))
    await user.click(await screen.findByRole('button', { name: 'Kill the run' }))
    expect(await screen.findByText('Killed on request.')).toBeVisible()
    expect(screen.queryByRole('button', { name: 'Kill' })).toBeNull()
    expect(asked).toHaveLength(1)
  })

  test('a kill that comes too late is said', async () => {
    server.use(refuse('post', `${PAGE}/kill`, { status: 409, detail: 'run x has ended already' }))
    const { user } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Kill' }))
    await user.click(await screen.findByRole('button', { name: 'Kill the run' }))
    expect(await screen.findByText('The run was not killed.')).toBeVisible()
    expect(screen.getByText('run x has ended already')).toBeVisible()
  })

  test('why one cannot go on is said', async () => {
    withRun({ state: 'failed', reason: 'it broke' })
    server.use(refuse('post', `${PAGE}/resume`, { status: 409, detail: 'run x has no checkpoint to go on from' }))
    const { user } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Resume' }))
    expect(await screen.findByText('run x has no checkpoint to go on from')).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Close it' }))
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull())
  })

  test.each(['running', 'finished'] as const)('one that is %s cannot be resumed', async (state) => {
    withRun({ state })
    visit(PAGE)
    expect(await screen.findByRole('button', { name: 'Rerun' })).toBeVisible()
    expect(screen.queryByRole('button', { name: 'Resume' })).toBeNull()
  })

  test('a rerun is a run of its own, under a name of its own', async () => {
    withRun({ state: 'finished' })
    const asked = take('post', `${PAGE}/rerun`, 201, { id: '20260201-120000-abcdef' })
    const { user, address } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Rerun' }))
    const name = await screen.findByRole('textbox', { name: 'Name of the new run' })
    expect(name).toHaveValue('tiny')
    expect(screen.getByRole('link', { name: 'Change settings first' })).toHaveAttribute(
      'href',
      `/runs/new?from=${RUN_ID}`,
    )
    await user.type(name, '-2')
    await user.click(screen.getByRole('button', { name: 'Start it' }))
    await waitFor(() => expect(address()).toBe('/runs/20260201-120000-abcdef'))
    expect(asked).toEqual([{ name: 'tiny-2' }])
  })

  test('a refused rerun says why', async () => {
    server.use(refuse('post', `${PAGE}/rerun`, { status: 422, detail: 'data.train_path: there is no file' }))
    const { user } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Rerun' }))
    await user.click(await screen.findByRole('button', { name: 'Start it' }))
    expect(await screen.findByText('data.train_path: there is no file')).toBeVisible()
  })

  test('name, notes and tags are edited', async () => {
    const asked = take('patch', PAGE, 200, { name: 'better', notes: 'why', tags: ['a', 'b'] })
    const { user } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Edit' }))
    const dialog = await screen.findByRole('dialog')
    const name = within(dialog).getByRole('textbox', { name: 'Name' })
    await user.clear(name)
    await user.type(name, 'better')
    await user.type(within(dialog).getByRole('textbox', { name: 'Notes' }), 'why')
    const tags = within(dialog).getByRole('textbox', { name: /^Tags/ })
    expect(tags).toHaveValue('baseline')
    await user.clear(tags)
    await user.type(tags, 'a, ,b')
    await user.click(within(dialog).getByRole('button', { name: 'Save' }))
    expect(await screen.findByRole('heading', { level: 1, name: 'better' })).toBeVisible()
    expect(screen.getByText('why #a #b')).toBeVisible()
    expect(asked).toEqual([{ name: 'better', notes: 'why', tags: ['a', 'b'] }])
  })

  test('a name that is none is said beside it', async () => {
    server.use(refuse('patch', PAGE, { status: 422, detail: 'name must be 1 to 80 letters' }))
    const { user } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Edit' }))
    await user.click(await screen.findByRole('button', { name: 'Save' }))
    expect(await screen.findByText('name must be 1 to 80 letters')).toBeVisible()
  })

  test('a run goes into the archive and out of it', async () => {
    withRun({ state: 'finished' })
    const asked = take('patch', PAGE, 200, { state: 'finished', archived: true })
    const { user } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Archive' }))
    expect(await screen.findByText('Archived')).toBeVisible()
    server.use(refuse('patch', PAGE, { status: 404, detail: 'there is no run x' }))
    await user.click(screen.getByRole('button', { name: 'Take out of the archive' }))
    expect(await screen.findByText('there is no run x')).toBeVisible()
    expect(asked).toEqual([{ archived: true }])
  })

  test('deleting asks first, and leads to the list', async () => {
    withRun({ state: 'finished', bundles: ['tiny_v1'] })
    let deleted = 0
    server.use(
      http.delete(`${ORIGIN}${PAGE}`, () => {
        deleted += 1
        return new HttpResponse(null, { status: 204 })
      }),
    )
    const { user, address } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Delete' }))
    expect(await screen.findByText(/Evidence that was sealed from it stays/)).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Keep it' }))
    expect(deleted).toBe(0)
    await user.click(screen.getByRole('button', { name: 'Delete' }))
    await user.click(await screen.findByRole('button', { name: 'Move to the trash' }))
    await waitFor(() => expect(address()).toBe('/runs'))
    expect(deleted).toBe(1)
  })

  test('a run that lives is not offered to be deleted', async () => {
    visit(PAGE)
    expect(await screen.findByRole('button', { name: 'Edit' })).toBeVisible()
    expect(screen.queryByRole('button', { name: 'Delete' })).toBeNull()
  })

  test('a refused delete says why', async () => {
    withRun({ state: 'lost' })
    server.use(refuse('delete', PAGE, { status: 409, detail: 'run x still trains in process 7; end that first' }))
    const { user } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Delete' }))
    await user.click(await screen.findByRole('button', { name: 'Move to the trash' }))
    expect(await screen.findByText('run x still trains in process 7; end that first')).toBeVisible()
  })
})
