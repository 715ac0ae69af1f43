import { screen, waitFor } from '@testing-library/react'
import { HttpResponse, http } from 'msw'
import { describe, expect, test } from 'vitest'
import type { TrashedRun } from '../../../api/types.ts'
import { aRun, aTrashedRun, RUN_ID } from '../../../test/fixtures.ts'
import { visit } from '../../../test/render.tsx'
import { answer, ORIGIN, refuse, server } from '../../../test/server.ts'

function withTrash(...runs: TrashedRun[]): void {
  server.use(answer('/trash', { runs, bytes: runs.reduce((sum, run) => sum + run.bytes, 0) }))
}

const second = aTrashedRun({ id: 'b', name: 'other', state: null, step: null, tags: [], deleted_at: '' })

describe('the trash', () => {
  test('tells what lies in it, and restores', async () => {
    withTrash(aTrashedRun(), second)
    const { user } = visit('/trash')
    expect(await screen.findByText('2 runs, 6.0 MiB on disk')).toBeVisible()
    expect(screen.getByText('Stopped')).toBeVisible()
    expect(screen.getByText(/step 12 of 30 · 3.0 MiB · #baseline · deleted/)).toBeVisible()
    server.use(
      http.post(`${ORIGIN}/trash/${RUN_ID}/restore`, () => {
        withTrash(second)
        return HttpResponse.json(aRun({ state: 'stopped' }))
      }),
    )
    await user.click(screen.getByRole('button', { name: 'Restore tiny' }))
    expect(await screen.findByText('1 run, 3.0 MiB on disk')).toBeVisible()
    server.use(refuse('post', '/trash/b/restore', { status: 404, detail: 'there is no run b in the trash' }))
    await user.click(screen.getByRole('button', { name: 'Restore other' }))
    expect(await screen.findByText('there is no run b in the trash')).toBeVisible()
  })

  test('removes one for good, once that is confirmed', async () => {
    withTrash(aTrashedRun(), second)
    server.use(
      http.delete(`${ORIGIN}/trash/b`, () => {
        withTrash(aTrashedRun())
        return new HttpResponse(null, { status: 204 })
      }),
    )
    const { user } = visit('/trash')
    await user.click(await screen.findByRole('button', { name: 'Remove other for good' }))
    expect(await screen.findByText('Remove other for good?')).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Remove for good' }))
    await waitFor(() => expect(screen.queryByText('other')).toBeNull())
    expect(screen.getByText('tiny')).toBeVisible()
  })

  test('is emptied, once that is confirmed', async () => {
    withTrash(aTrashedRun())
    server.use(refuse('delete', '/trash', { status: 500, detail: 'it did not work' }))
    const { user } = visit('/trash')
    await user.click(await screen.findByRole('button', { name: 'Empty the trash' }))
    expect(await screen.findByText('Remove 1 run for good?')).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Remove for good' }))
    expect(await screen.findByText('it did not work')).toBeVisible()
    server.use(
      http.delete(`${ORIGIN}/trash`, () => {
        withTrash()
        return new HttpResponse(null, { status: 204 })
      }),
    )
    await user.click(screen.getByRole('button', { name: 'Remove for good' }))
    expect(await screen.findByText('The trash is empty')).toBeVisible()
  })

  test('that cannot be read says so', async () => {
    server.use(refuse('get', '/trash', { status: 503, detail: 'the disk is gone' }))
    visit('/trash')
    expect(await screen.findByText('the disk is gone')).toBeVisible()
  })
})
