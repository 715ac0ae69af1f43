import { screen, waitFor, within } from '@testing-library/react'
import { HttpResponse, http } from 'msw'
import { describe, expect, test } from 'vitest'
import type { Preflight, PreflightRequest } from '../../api/types.ts'
import {
  aFit,
  aMisfit,
  anOpenPreflight,
  aPreflight,
  aPreflightSummary,
  aReport,
  PREFLIGHT_ID,
  topologies,
} from '../../test/fixtures.ts'
import { visit } from '../../test/render.tsx'
import { answer, ORIGIN, refuse, server } from '../../test/server.ts'
import { flops, planWords, seconds } from './numbers.ts'

const PAGE = `/preflights/${PREFLIGHT_ID}`

function withPreflight(preflight: Preflight): void {
  server.use(answer('/preflights/:id', preflight))
}

function listen(id = PREFLIGHT_ID): PreflightRequest[] {
  const asked: PreflightRequest[] = []
  server.use(
    http.post(`${ORIGIN}/preflights`, async ({ request }) => {
      asked.push((await request.json()) as PreflightRequest)
      return HttpResponse.json(aPreflight({ id }), { status: 201 })
    }),
  )
  return asked
}

describe('the preflights', () => {
  test('an empty list says what a preflight is, and how to ask from a shell', async () => {
    visit('/preflights')
    expect(await screen.findByText('No preflights yet')).toBeVisible()
    expect(screen.getByText(/assay preflight submission_tpu --topology v5e-8/)).toBeVisible()
  })

  test('each one shows its answer, or how it stands, and opens', async () => {
    const open = { fits: null, verdict: null, peak_bytes: null, limit_bytes: null, ended_at: null } as const
    server.use(
      answer('/preflights', {
        preflights: [
          aPreflightSummary({ ...open, id: '1', name: 'one', state: 'running' }),
          aPreflightSummary({ ...open, id: '2', name: 'two', state: 'queued', queue_position: 1 }),
          aPreflightSummary({ ...open, id: '3', name: 'three', state: 'failed', reason: 'libtpu is not installed' }),
          aPreflightSummary({ id: '4', name: 'four', search: true }),
          aPreflightSummary({ id: '5', name: 'five', fits: false, peak_bytes: 2 ** 35 }),
        ],
        total: 5,
        topologies,
      }),
    )
    const { user, address } = visit('/preflights')
    const list = await screen.findByRole('list', { name: 'Preflights' })
    const rows = within(list).getAllByRole('listitem')
    for (const [index, text] of [
      'Compiling',
      'Queued · next',
      'libtpu is not installed',
      'batch 8 × 512 for v5e-8, plans searched',
      'Does not fit',
    ].entries())
      expect(rows[index]).toHaveTextContent(text)
    expect(within(list).getByRole('img', { name: '5.50 GiB of 15.75 GiB' })).toBeVisible()
    await user.keyboard('jjj')
    await user.keyboard('k{Enter}')
    await waitFor(() => expect(address()).toBe('/preflights/2'))
  })

  test('a shipped config is asked about', async () => {
    const asked = listen()
    const { user, address } = visit('/preflights')
    await screen.findByRole('option', { name: 'smoke_tiny' })
    await user.selectOptions(screen.getByRole('combobox', { name: 'Config' }), 'smoke_tiny')
    await user.selectOptions(screen.getByRole('combobox', { name: 'On' }), 'v3-8')
    await user.click(screen.getByRole('switch', { name: 'Search plans' }))
    await user.click(screen.getByRole('button', { name: 'Will it fit?' }))
    await waitFor(() => expect(address()).toBe(PAGE))
    expect(asked).toEqual([{ config: 'smoke_tiny', topology: 'v3-8', search: true, largest: false }])
  })

  test('a refused question says why', async () => {
    server.use(refuse('post', '/preflights', { status: 422, detail: 'topology must be one of v3-8, v5e-8' }))
    const { user } = visit('/preflights')
    await screen.findByRole('combobox', { name: 'Config' })
    await waitFor(() => expect(screen.getByRole('button', { name: 'Will it fit?' })).toBeEnabled())
    await user.click(screen.getByRole('button', { name: 'Will it fit?' }))
    expect(await screen.findByText('topology must be one of v3-8, v5e-8')).toBeVisible()
  })

  test('a list that cannot be loaded says so', async () => {
    server.use(refuse('get', '/preflights', { status: 500, detail: 'broken' }))
    visit('/preflights')
    expect(await screen.findByText('The preflights cannot be loaded.')).toBeVisible()
  })
})

describe('a preflight', () => {
  test('that fits tells its verdict, its memory against the limit, and an interval that is no speed', async () => {
    visit(PAGE)
    expect(await screen.findByRole('heading', { level: 1, name: 'smoke_tiny on v5e-8' })).toBeVisible()
    expect(within(screen.getByRole('region', { name: 'Verdict' })).getByText('Fits')).toBeVisible()
    const memory = screen.getByRole('region', { name: 'Memory on one device' })
    expect(within(memory).getByRole('img', { name: /^Peak 5.50 GiB of 15.75 GiB: Parameters 1.25 GiB/ })).toBeVisible()
    expect(within(memory).getByRole('row', { name: 'Optimizer state 2.50 GiB 15.9 %' })).toBeVisible()
    expect(within(memory).getByText('10.25 GiB stay free.')).toBeVisible()
    const step = screen.getByRole('region', { name: 'Step time' })
    expect(within(step).getByText('Estimate, not measured')).toBeVisible()
    expect(within(step).getAllByText('65.2 ms to 90.1 ms')[0]).toBeVisible()
    expect(within(step).getByText('cycles of every instruction ÷ the clock')).toBeVisible()
    expect(screen.getByRole('row', { name: 'all-gather 36 2.00 GiB' })).toBeVisible()
    expect(screen.getByText('jax 0.10.2, libtpu 0.0.41')).toBeVisible()
    expect(screen.getByRole('link', { name: 'Raw JSON' })).toHaveAttribute('href', `${PAGE}/report.json`)
    expect(screen.getByRole('link', { name: 'Start run' })).toHaveAttribute(
      'href',
      `/runs/new?preflight=${PREFLIGHT_ID}`,
    )
    expect(document.title).toBe('smoke_tiny on v5e-8 · preflight · Assay')
  })

  test('that does not fit shows by how much, the compiler word for word, and what would fit', async () => {
    const report = aReport({
      fits: false,
      verdict: 'Does not fit on v5e-8.',
      plans: [aMisfit()],
      advice: ['training.batch_size 4 fits: 9.10 GiB.'],
    })
    withPreflight(aPreflight({ fits: false, verdict: report.verdict, report }))
    visit(PAGE)
    expect(await screen.findByText('16.05 GiB too much.')).toBeVisible()
    expect(screen.getByText(/^RESOURCE_EXHAUSTED: XLA:TPU/)).toBeVisible()
    expect(screen.getByText('training.batch_size 4 fits: 9.10 GiB.')).toBeVisible()
    expect(screen.getByRole('link', { name: 'Change and start' })).toBeVisible()
    expect(screen.queryByRole('region', { name: 'Step time' })).toBeNull()
  })

  test('with a search shows every plan, and marks the chosen one', async () => {
    const report = aReport({
      plans: [
        aMisfit({ needed_bytes: 0 }),
        aFit({ plan: { layout: 'fsdp', remat: 'layer', layers: 'scanned' }, gradient_accumulation: 2 }),
        aFit({ estimate: { kind: 'not_estimated', because: 'the clock is not known' } }),
        { kind: 'refused', plan: { layout: 'tensor' }, batch_size: 8, gradient_accumulation: 1, message: '1 head' },
      ],
      chosen: 1,
      largest: { kind: 'found', batch_size: 64, too_large: 128, peak: 2 ** 33 },
    })
    withPreflight(aPreflight({ report }))
    visit(PAGE)
    const rows = within(await screen.findByRole('region', { name: 'Plans tried: 4' })).getAllByRole('row')
    expect(rows[1]).toHaveTextContent('the compiler did not say how much')
    expect(rows[2]).toHaveTextContent('fsdp, scanned, remat layer')
    expect(rows[2]).toHaveAttribute('aria-current', 'true')
    expect(rows[2]).toHaveTextContent('chosen')
    expect(rows[2]).toHaveTextContent('in 2 parts')
    expect(rows[3]).not.toHaveTextContent('ms')
    expect(rows[4]).toHaveTextContent('1 head')
    expect(screen.getByText(/with the chosen plan, in 8.00 GiB; 128 does not fit./)).toBeVisible()
  })

  test('without an estimate says why, and where no batch fits, that', async () => {
    const plans = [aFit({ estimate: { kind: 'not_estimated', because: 'the clock is not known' }, received_bytes: [] })]
    const largest = { kind: 'found', batch_size: 0, too_large: 8, peak: 0 } as const
    withPreflight(aPreflight({ report: aReport({ plans, largest }) }))
    visit(PAGE)
    expect(await screen.findByText('Not estimated: the clock is not known')).toBeVisible()
    expect(screen.getByText(/None fits; the smallest that was tried is 8/)).toBeVisible()
  })

  test('whose plan was refused says why', async () => {
    const plans = [
      { kind: 'refused', plan: {}, batch_size: 7, gradient_accumulation: 1, message: '8 do not divide 7' } as const,
    ]
    withPreflight(aPreflight({ fits: false, report: aReport({ fits: false, plans }) }))
    visit(PAGE)
    expect(await screen.findByRole('region', { name: 'Why it was refused' })).toHaveTextContent('8 do not divide 7')
  })

  test('that compiles shows how far it is, asks again by itself, and can be cancelled', async () => {
    withPreflight(anOpenPreflight('running', { progress: { time: '', done: 1, total: 4, doing: 'compiling fsdp' } }))
    const { user } = visit(PAGE)
    expect(await screen.findByText('compiling fsdp…')).toBeVisible()
    expect(screen.getByRole('progressbar', { name: 'Compilations' })).toHaveAttribute('aria-valuenow', '1')
    withPreflight(anOpenPreflight('running', { progress: { time: '', done: 2, total: 4, doing: 'compiling tensor' } }))
    expect(await screen.findByText('compiling tensor…')).toBeVisible()
    const cancelled = anOpenPreflight('cancelled', { reason: 'Cancelled on request.' })
    server.use(http.post(`${ORIGIN}/preflights/:id/cancel`, () => HttpResponse.json(cancelled)))
    withPreflight(cancelled)
    await user.click(screen.getByRole('button', { name: 'Cancel' }))
    expect(await screen.findByText('This preflight was cancelled.')).toBeVisible()
  })

  test('that waits says what for', async () => {
    withPreflight(anOpenPreflight('queued', { queue_position: 2, started_at: null, progress: null }))
    visit(PAGE)
    expect(await screen.findByText(/Waiting for the compiler/)).toBeVisible()
    expect(screen.getByText('Queued · place 2')).toBeVisible()
  })

  test('that failed says what to do, shows its log, and can be asked once more', async () => {
    const reason = 'libtpu is not installed; install it with: pip install libtpu'
    withPreflight(anOpenPreflight('failed', { reason }))
    server.use(answer('/preflights/:id/log', { offset: 0, next_offset: 9, size: 9, text: 'the last words\n' }))
    const asked = listen('20260131-120000-bbbbbb')
    const { user, address } = visit(PAGE)
    expect(await screen.findByText(reason)).toBeVisible()
    expect(await screen.findByText('the last words')).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Ask again' }))
    await waitFor(() => expect(address()).toBe('/preflights/20260131-120000-bbbbbb'))
    expect(asked[0]).toMatchObject({ topology: 'v5e-8', fresh: true, spec: { name: 'smoke_tiny' } })
  })

  test('that there is not says so', async () => {
    server.use(refuse('get', '/preflights/:id', { status: 404, detail: 'there is no preflight x' }))
    visit('/preflights/x')
    expect(await screen.findByText('there is no preflight x')).toBeVisible()
  })
})

describe('how its numbers read', () => {
  test.each([
    [1.2345, '1.23 s'],
    [0.0705, '70.5 ms'],
    [0.0000123, '12.3 µs'],
    [0, '0 µs'],
  ])('%d seconds are %s', (value, said) => expect(seconds(value)).toBe(said))

  test.each([
    [6.16e13, '61.6 TFLOP'],
    [4.54e8, '454 MFLOP'],
    [12, '12 FLOP'],
  ])('%d operations are %s', (value, said) => expect(flops(value)).toBe(said))

  test('a plan is told by what is switched on', () => {
    expect(
      planWords({ layout: 'fsdp', remat: 'none', layers: 'scanned', fused: true, loss_chunk_tokens: 512 }),
    ).toEqual(['fsdp', 'scanned', 'fused', 'loss chunk tokens 512'])
  })
})
