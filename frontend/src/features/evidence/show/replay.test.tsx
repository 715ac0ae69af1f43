import { screen, waitFor, within } from '@testing-library/react'
import { HttpResponse, http } from 'msw'
import { describe, expect, test } from 'vitest'
import { aBundle, aCheck, aJob, aReplay } from '../../../test/fixtures.ts'
import { visit } from '../../../test/render.tsx'
import { answer, ORIGIN, refuse, server } from '../../../test/server.ts'

async function panel(): Promise<HTMLElement> {
  return screen.findByRole('region', { name: 'Replay' })
}

describe('the replay of a bundle', () => {
  test('where there is none, it says what one would prove, and asks for one by the reader’s own words', async () => {
    let asked: unknown
    let jobs = [] as unknown[]
    server.use(
      http.get(`${ORIGIN}/evidence/tiny_v1/replays`, () => HttpResponse.json({ replays: jobs } as never)),
      http.post(`${ORIGIN}/evidence/tiny_v1/replays`, async ({ request }) => {
        asked = await request.json()
        jobs = [aJob({ state: 'queued' })]
        return HttpResponse.json(aJob({ state: 'queued' }) as never, { status: 201 })
      }),
      answer('/evidence/tiny_v1', aBundle()),
    )
    const { user } = visit('/evidence/tiny_v1')
    expect(await panel()).toHaveTextContent('Rows that nobody trained would not survive it.')
    await user.type(screen.getByRole('textbox', { name: /Words of your own/ }), ' my words ')
    await user.click(screen.getByRole('button', { name: 'Replay a segment here' }))
    expect(await screen.findByText('Waiting for its turn…')).toBeVisible()
    expect(asked).toEqual({ draw: 'my words' })
    jobs = [aJob()]
    expect(await screen.findByText('step 410 of 450…')).toBeVisible()
    expect(screen.getByRole('progressbar', { name: 'Replay' })).toHaveAttribute('aria-valuenow', '10')
    server.use(answer('/evidence/tiny_v1', aBundle({ replay: aReplay(), level: 'E4', level_meaning: 'replayed' })))
    jobs = [aJob({ state: 'done' })]
    expect(await screen.findByText('Verified · E4 replayed')).toBeVisible()
    expect(await screen.findByText(/Every number and every weight came out the same/)).toBeVisible()
  })

  test('the numbers stand beside their caps, with tier, control and answers', async () => {
    const replay = aReplay({
      tier: 'T2',
      bit_equal: false,
      chosen: 'asked',
      own_source: true,
      comparisons: [
        { what: 'loss', cap: 1e-4, found: 3.2e-5, where: 'step 412', within: true },
        { what: 'distance of the weights, in updates', cap: 1e-3, found: 0.5, where: 'step 450', within: false },
      ],
      control_noticed: false,
      regenerated: [
        { what: 'samples of step 400', same: 2, total: 3, because: '' },
        { what: 'predictions', same: 0, total: 0, because: 'no answers were sealed' },
      ],
    })
    const checks = [
      aCheck({ id: 'RPL-01', family: 'replay', level: 'E4', proves: 'the state gives the next loss' }),
      aCheck({ id: 'RPL-02', family: 'replay', level: 'E4', result: 'not-run', reason: 'x' }),
    ]
    server.use(answer('/evidence/tiny_v1', aBundle({ replay, results: checks })))
    visit('/evidence/tiny_v1')
    const shown = await panel()
    expect(within(shown).getByRole('row', { name: /^within loss/ })).toHaveTextContent('loss3.2e-51.0e-4step 412')
    expect(within(shown).getByRole('row', { name: /^beyond distance/ })).toBeVisible()
    for (const text of [
      'is not told apart: this replay proves nothing',
      'samples of step 400: 2 of 3 came out the same',
      'predictions: not generated again, no answers were sealed',
      'steps 401 to 450',
      'it may be the one that was prepared',
      'the bundle’s own source',
      'Made on this server',
    ])
      expect(shown).toHaveTextContent(text)
    const list = within(shown).getByRole('list', { name: 'What the replay shows' })
    expect(within(list).getAllByRole('listitem')).toHaveLength(1)
    expect(within(shown).getByRole('button', { name: 'Replay another segment' })).toBeEnabled()
  })

  test('one that came with the bundle counts only by a trusted signature', async () => {
    const contents = [{ path: 'replay/result.json', sha256: 'a'.repeat(64), bytes: 9 }]
    server.use(answer('/evidence/tiny_v1', aBundle({ contents })))
    visit('/evidence/tiny_v1')
    expect(await screen.findByText('Recorded by nobody you know.')).toBeVisible()
  })

  test('and then it says whose', async () => {
    server.use(answer('/evidence/tiny_v1', aBundle({ replay: aReplay({ recorded_by: 'lab' }) })))
    visit('/evidence/tiny_v1')
    expect(await screen.findByText('Recorded, and signed by lab.')).toBeVisible()
  })

  test('a refusal is said beside the button', async () => {
    server.use(refuse('post', '/evidence/:name/replays', { status: 422, detail: 'the bundle includes no states' }))
    const { user } = visit('/evidence/tiny_v1')
    await user.click(await screen.findByRole('button', { name: 'Replay a segment here' }))
    expect(await within(await panel()).findByText('the bundle includes no states')).toBeVisible()
  })

  test('a job that fails says why; one is cancelled on demand', async () => {
    let jobs = [aJob()]
    server.use(
      http.get(`${ORIGIN}/evidence/tiny_v1/replays`, () => HttpResponse.json({ replays: jobs } as never)),
      refuse('post', '/replays/:id/cancel', { status: 409, detail: 'it has ended' }),
    )
    const { user } = visit('/evidence/tiny_v1')
    await user.click(await screen.findByRole('button', { name: 'Cancel' }))
    expect(await screen.findByText('it has ended')).toBeVisible()
    jobs = [aJob({ state: 'failed', message: 'the source differs' })]
    expect(await screen.findByText('the source differs')).toBeVisible()
  })

  test('a cancelled one is said to be so, and a run without steps cannot be replayed', async () => {
    server.use(
      answer('/evidence/tiny_v1', aBundle({ curve: { step: [], columns: {} } })),
      answer('/evidence/tiny_v1/replays', { replays: [aJob({ state: 'cancelled' })] }),
    )
    visit('/evidence/tiny_v1')
    expect(await screen.findByText('The last replay was cancelled.')).toBeVisible()
    await waitFor(() => expect(screen.queryByRole('button', { name: /Replay/ })).toBeNull())
    expect(screen.getByText('This run has no steps that could be executed again.')).toBeVisible()
  })
})
