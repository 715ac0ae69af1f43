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
        jobs = [aJob({ state: 'queued', queue_position: 3 })]
        return HttpResponse.json(aJob({ state: 'queued' }) as never, { status: 201 })
      }),
      answer('/evidence/tiny_v1', aBundle()),
    )
    const { user } = visit('/evidence/tiny_v1')
    expect(await panel()).toHaveTextContent('Rows that nobody trained would not survive it.')
    await user.type(screen.getByRole('textbox', { name: /Words of your own/ }), ' my words ')
    await user.click(screen.getByRole('button', { name: 'Replay a segment here' }))
    expect(await screen.findByText('Waiting for its turn, 2 before it…')).toBeVisible()
    expect(asked).toEqual({ draw: 'my words' })
    jobs = [aJob()]
    expect(await screen.findByText('step 410 of 450…')).toBeVisible()
    expect(screen.getByRole('progressbar', { name: 'Replay' })).toHaveAttribute('aria-valuenow', '10')
    server.use(answer('/evidence/tiny_v1', aBundle({ level: 'E4', level_meaning: 'replayed' })))
    jobs = [aJob({ state: 'done', result: aReplay() })]
    expect(await screen.findByText('Verified · E4 replayed')).toBeVisible()
    expect(await screen.findByText(/came out the same to the bit/)).toBeVisible()
  })

  test('the numbers stand beside their caps, with tier, control and answers', async () => {
    const result = aReplay({
      tier: 'T2',
      agrees: false,
      bit_equal: false,
      chosen: 'asked',
      compared: [
        { what: 'loss', cap: 1e-4, found: 3.2e-5, where: 'step 412', within: true, control: 0.01 },
        { what: 'distance of the weights', cap: 1e-3, found: 0.5, where: 'step 450', within: false, control: 0 },
      ],
      control_noticed: false,
      samples: { items: 0, same: 0, ties: 0, because: 'no samples were sealed' },
    })
    const checks = [
      aCheck({ id: 'RPL-01', family: 'replay', level: 'E4', proves: 'the state gives the next loss' }),
      aCheck({ id: 'RPL-02', family: 'replay', level: 'E4', result: 'not-run', reason: 'x' }),
    ]
    server.use(
      answer('/evidence/tiny_v1', aBundle({ results: checks })),
      answer('/evidence/tiny_v1/replays', { replays: [aJob({ state: 'done', result })] }),
    )
    visit('/evidence/tiny_v1')
    const shown = await panel()
    expect(await within(shown).findByRole('row', { name: /^within loss/ })).toHaveTextContent(
      'loss3.2e-51.0e-41.0e-2step 412',
    )
    expect(within(shown).getByRole('row', { name: /^beyond distance/ })).toBeVisible()
    for (const text of [
      'is not told apart: this replay proves nothing',
      'Samples were not generated again: no samples were sealed',
      'Held-out answers: 63 of 64 came out the same, and 1 but for a tie',
      'steps 401 to 450',
      'it may be the one that was prepared',
      'Made on this server',
    ])
      expect(shown).toHaveTextContent(text)
    const list = within(shown).getByRole('list', { name: 'What the replay shows' })
    expect(within(list).getAllByRole('listitem')).toHaveLength(1)
    expect(within(shown).getByRole('button', { name: 'Replay another segment' })).toBeEnabled()
  })

  test('a replay of other bytes says nothing of these', async () => {
    server.use(
      answer('/evidence/tiny_v1/replays', { replays: [aJob({ state: 'done', current: false, result: null })] }),
    )
    visit('/evidence/tiny_v1')
    expect(await panel()).toHaveTextContent('Nothing of this run was executed again.')
  })

  test.each([
    ['unknown', 'Recorded by nobody you know.'],
    ['trusted', 'Recorded, and signed by lab.'],
  ] as const)('one that came with the bundle counts by a trusted signature (%s)', async (state, said) => {
    const contents = [{ path: 'replay/result.json', sha256: 'a'.repeat(64), bytes: 9 }]
    const signer = state === 'trusted' ? 'lab' : ''
    const statement = {
      file: 'attestations/replay-1.json',
      state,
      signer,
      key_sha256: '',
      says: 'a result, replay/result.json',
    }
    const signature = { state: 'unsigned', signer: '', key_sha256: '', statements: [statement] } as const
    server.use(answer('/evidence/tiny_v1', aBundle({ contents, signature: { ...signature, statements: [statement] } })))
    visit('/evidence/tiny_v1')
    expect(await screen.findByText(said)).toBeVisible()
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
