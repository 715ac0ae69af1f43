import { screen, waitFor, within } from '@testing-library/react'
import { HttpResponse, http } from 'msw'
import { describe, expect, test } from 'vitest'
import type { Run } from '../../../api/types.ts'
import { FakeEventSource } from '../../../test/event-source.ts'
import { aBundleSummary, aRun, aSummary, RUN_ID } from '../../../test/fixtures.ts'
import { visit } from '../../../test/render.tsx'
import { answer, ORIGIN, refuse, server } from '../../../test/server.ts'

const PAGE = `/runs/${RUN_ID}`

function withRun(change: Partial<Run>): void {
  server.use(answer('/runs/:id', aRun(change)))
}

async function stream(): Promise<FakeEventSource> {
  await waitFor(() => expect(FakeEventSource.latest.url).toContain(RUN_ID))
  return FakeEventSource.latest
}

const rows = {
  run: RUN_ID,
  columns: {
    step: [1, 2, 3],
    loss: [5.7, 4.2, 3.1],
    grad_norm: [1, 1, 1],
    learning_rate: [1e-4, 2e-4, 3e-4],
    tokens: [100, 200, 300],
    step_seconds: [1, 0.1, 0.1],
    tokens_per_second: [100, 1000, 1000],
    epoch: [0.1, 0.2, 0.3],
  },
}

const evaluation = {
  time: '2026-01-31T12:00:09Z',
  step: 3,
  loss: 3,
  items: 2,
  correct: 1,
  exact_match: 0.5,
  seconds: 1,
}

describe('a run', () => {
  test('its head tells state, step, numbers and commit', async () => {
    visit(PAGE)
    expect(await screen.findByRole('heading', { level: 1, name: 'tiny' })).toBeVisible()
    for (const text of ['2.412', '25 %', '15.3k', '86.5k', '1 × cpu']) expect(screen.getByText(text)).toBeVisible()
    expect(screen.getByText('ETA 48 s')).toBeVisible()
    expect(screen.getByText('+1')).toBeVisible()
    expect(document.title).toBe('tiny · running · Assay')
  })

  test('a long history is asked for at once, and the stream goes on behind it', async () => {
    withRun({ step: 5_000, steps: 9_000 })
    const head = JSON.stringify({ rows: 3, columns: ['step', 'loss'], cursor: `${RUN_ID}:90:0` })
    const line = new TextEncoder().encode(head.padEnd(Math.ceil((head.length + 1) / 8) * 8 - 1))
    const values = new Uint8Array(new Float64Array([4_998, 4_999, 5_000, 3.5, Number.NaN, 2.25]).buffer)
    const body = new Uint8Array([...line, 10, ...values])
    server.use(http.get(`${ORIGIN}/runs/:id/columns`, () => HttpResponse.arrayBuffer(body.buffer)))
    visit(PAGE)
    const source = await stream()
    expect(source.url).toContain(encodeURIComponent(`${RUN_ID}:90:0`))
    expect(await screen.findByRole('img', { name: /^Loss: 3 rows, lowest 2.250, latest 2.250/ })).toBeVisible()
    source.send('metrics', { run: RUN_ID, columns: { step: [5_001], loss: [2] } }, `${RUN_ID}:99:0`)
    expect(await screen.findByRole('img', { name: /^Loss: 4 rows, lowest 2.000, latest 2.000/ })).toBeVisible()
  })

  test('where a long history cannot be had at once, the stream tells it', async () => {
    withRun({ step: 5_000, steps: 9_000 })
    server.use(refuse('get', '/runs/:id/columns', { status: 500 }))
    visit(PAGE)
    expect((await stream()).url).not.toContain('cursor')
  })

  test('that it was deleted elsewhere is said', async () => {
    visit(PAGE)
    await screen.findByText('2.412')
    const source = await stream()
    server.use(refuse('get', '/runs/:id', { status: 404, detail: 'there is no run x' }))
    source.send('gone', { run: RUN_ID })
    expect(await screen.findByText('there is no run x')).toBeVisible()
    expect(screen.getByText('2.412')).toBeVisible()
  })

  test('before its first step the phases show how far it is', async () => {
    withRun({ step: 0, phase: 'compiling', loss: null, eta_seconds: null })
    visit(PAGE)
    const phases = await screen.findByRole('list', { name: 'Phases before the first step' })
    expect(within(phases).getByText('compiling').closest('li')).toHaveAttribute('aria-current', 'step')
    expect(within(phases).getAllByLabelText('done')).toHaveLength(4)
    expect(await screen.findByText('No step yet')).toBeVisible()
  })

  test('rows of the stream become curves, and a summary moves the head', async () => {
    server.use(answer('/runs/:id/evaluations', { evaluations: [evaluation] }))
    const { user, address } = visit(PAGE)
    const source = await stream()
    source.send('metrics', rows, `${RUN_ID}:900`)
    expect(await screen.findByRole('img', { name: /^Loss: 3 rows, lowest 3.100, latest 3.100/ })).toBeVisible()
    expect(await screen.findByText('held-out loss')).toBeVisible()
    source.send('summary', aSummary({ step: 13, loss: 2.2 }))
    expect(await screen.findByText('2.200')).toBeVisible()

    await user.click(screen.getByRole('switch', { name: 'Log scale' }))
    await waitFor(() => expect(address()).toContain('y=log'))
    await user.click(screen.getByRole('radio', { name: 'Time' }))
    await waitFor(() => expect(address()).toContain('x=time'))
    await user.click(screen.getByRole('radio', { name: 'Tokens' }))
    await user.keyboard('l')
    await waitFor(() => expect(address()).not.toContain('y=log'))
    await user.keyboard(']')
    await waitFor(() => expect(address()).toContain('s=10'))
    await user.click(screen.getByRole('button', { name: 'Zoom in' }))
    await waitFor(() => expect(address()).toContain('xr='))
    await user.click(screen.getByRole('button', { name: 'Show all' }))
    await user.click(screen.getByRole('button', { name: 'Table' }))
    expect(await screen.findByRole('cell', { name: '5.700' })).toBeVisible()
    expect(screen.getByRole('link', { name: /CSV/ })).toHaveAttribute('href', `${PAGE}/export.csv`)
  })

  test('what a runtime tells of its devices has a curve, what it does not tell has none', async () => {
    visit(PAGE)
    const source = await stream()
    const told = { device_memory_bytes: [2 ** 30, 2 ** 31, 2 ** 31], model_flops_utilization: [null, null, null] }
    source.send('metrics', { ...rows, columns: { ...rows.columns, ...told } }, `${RUN_ID}:900`)
    const memory = await screen.findByRole('img', { name: /^Device memory in use, GiB: 3 rows, .* latest 2.000/ })
    expect(memory).toBeVisible()
    expect(screen.queryByText(/Model FLOPs utilization/)).not.toBeInTheDocument()
  })

  test('events ring for what they announce', async () => {
    visit(`${PAGE}?tab=checkpoints`)
    expect(await screen.findByText('No checkpoint yet')).toBeVisible()
    const checkpoint = {
      time: '2026-01-31T12:00:09Z',
      step: 3,
      path: 'step_000003',
      bytes: 2048,
      tree_sha256: 'a'.repeat(64),
      parameters_digest: 'b'.repeat(64),
      optimizer_digest: 'c'.repeat(64),
      seconds: 0.3,
      on_disk: true,
    }
    server.use(
      answer('/runs/:id/checkpoints', { checkpoints: [checkpoint, { ...checkpoint, step: 0, on_disk: false }] }),
    )
    const source = await stream()
    source.send('events', { run: RUN_ID, events: [{ kind: 'checkpoint' }] })
    expect(await screen.findAllByText('step_000003')).toHaveLength(2)
    expect(screen.getByText('pushed out by newer ones')).toBeVisible()
  })

  test('a failed run says why before anything else, with the end of its log', async () => {
    withRun({
      state: 'failed',
      reason: 'DeviceError while loading: there is no gpu',
      error: {
        stage: 'loading',
        type: 'DeviceError',
        message: 'there is no gpu',
        log_tail: 'loading …\nerror: no gpu\n',
      },
    })
    visit(PAGE)
    expect(await screen.findByText('DeviceError while loading: there is no gpu')).toBeVisible()
    expect(screen.getByText(/error: no gpu/)).toBeVisible()
  })

  test('stopping asks first', async () => {
    let stopped = 0
    server.use(
      http.post(`${ORIGIN}${PAGE}/stop`, () => {
        stopped += 1
        return HttpResponse.json(aRun({ state: 'stopping' }), { status: 202 })
      }),
    )
    const { user } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Stop' }))
    await user.click(await screen.findByRole('button', { name: 'Keep running' }))
    expect(stopped).toBe(0)
    await user.click(screen.getByRole('button', { name: 'Stop' }))
    await user.click(await screen.findByRole('button', { name: 'Stop the run' }))
    expect(await screen.findByRole('button', { name: 'Stopping' })).toBeDisabled()
    expect(stopped).toBe(1)
  })

  test('a stop that comes too late is said', async () => {
    server.use(refuse('post', `${PAGE}/stop`, { status: 409, detail: 'the run has ended' }))
    const { user } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Stop' }))
    await user.click(await screen.findByRole('button', { name: 'Stop the run' }))
    expect(await screen.findByText('the run has ended')).toBeVisible()
  })

  test('sealing leads to the evidence page', async () => {
    withRun({ state: 'finished', ended_at: '2026-01-31T12:02:00Z' })
    let name = ''
    server.use(
      http.post(`${ORIGIN}${PAGE}/seal`, async ({ request }) => {
        name = ((await request.json()) as { name: string }).name
        return HttpResponse.json(aBundleSummary(), { status: 201 })
      }),
    )
    const { user, address } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Seal as evidence' }))
    expect(await screen.findByRole('textbox', { name: 'Name of the bundle' })).toHaveValue('tiny_v1')
    await user.click(screen.getByRole('button', { name: 'Seal' }))
    await user.click(await screen.findByRole('link', { name: 'Open the evidence page' }))
    await waitFor(() => expect(address()).toBe('/evidence/tiny_v1'))
    expect(name).toBe('tiny_v1')
  })

  test('a refused seal shows its findings', async () => {
    withRun({ state: 'finished' })
    server.use(
      refuse('post', `${PAGE}/seal`, {
        status: 422,
        detail: 'the run cannot be sealed',
        findings: [{ check: 'PRV-02', message: 'README.md differs from the commit' }],
      }),
    )
    const { user } = visit(PAGE)
    await user.click(await screen.findByRole('button', { name: 'Seal as evidence' }))
    await user.click(await screen.findByRole('button', { name: 'Seal' }))
    expect(await screen.findByText('README.md differs from the commit')).toBeVisible()
    expect(screen.getByText('PRV-02')).toBeVisible()
  })

  test('answers of an evaluation, right and wrong', async () => {
    server.use(
      answer('/runs/:id/evaluations', { evaluations: [{ ...evaluation, step: 0, exact_match: 0 }, evaluation] }),
      answer('/runs/:id/predictions', {
        step: 3,
        predictions: [
          { id: 1, prompt: '1+1=?', expected: '2', text: '2', correct: true },
          { id: 2, prompt: '2+2=?', expected: '4', text: '5', correct: false },
        ],
      }),
    )
    const { user } = visit(`${PAGE}?tab=samples`)
    expect(await screen.findByText('1+1=?')).toBeVisible()
    await user.click(screen.getByRole('radio', { name: 'Wrong 1' }))
    expect(screen.queryByText('1+1=?')).toBeNull()
    await user.click(screen.getByRole('button', { name: '0' }))
    expect(await screen.findByText('Answers at step 0')).toBeVisible()
  })

  test('before the first evaluation the tab says what will be there', async () => {
    visit(`${PAGE}?tab=samples`)
    expect(await screen.findByText('No evaluation yet')).toBeVisible()
  })

  test('the log is read piece by piece, searched, and leads to its first error', async () => {
    const text = 'loading …\nstep 1/30 loss 5.7\nValueError: it broke\n'
    server.use(
      http.get(`${ORIGIN}/runs/:id/log`, ({ request }) => {
        const offset = Number(new URL(request.url).searchParams.get('offset'))
        const next = offset === 0 ? 20 : text.length
        return HttpResponse.json({ offset, next_offset: next, size: text.length, text: text.slice(offset, next) })
      }),
    )
    const { user } = visit(`${PAGE}?tab=log`)
    expect(await screen.findByText('step 1/30 loss 5.7')).toBeVisible()
    await user.type(screen.getByRole('searchbox', { name: 'Search the log' }), 'loss{Enter}')
    expect(screen.getByText('1 line')).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Next match' }))
    await user.click(screen.getByRole('button', { name: 'Previous match' }))
    await user.click(screen.getByRole('button', { name: 'First error, line 3' }))
    expect(screen.getByRole('switch', { name: 'Follow' })).not.toBeChecked()
    const source = await stream()
    source.send('log', { run: RUN_ID, offset: 99, text: 'x\n' })
  })

  test('a log that cannot be had says so', async () => {
    server.use(refuse('get', '/runs/:id/log', { status: 500 }))
    visit(`${PAGE}?tab=log`)
    expect(await screen.findByText('The log cannot be loaded.')).toBeVisible()
  })

  test('the config shows what was changed from what was declared', async () => {
    visit(`${PAGE}?tab=config`)
    expect(await screen.findByText('instead of 20', { exact: false })).toBeVisible()
    expect(screen.getByText(/name: smoke_tiny/)).toBeVisible()
  })

  test('the system tab has the facts as they were recorded', async () => {
    visit(`${PAGE}?tab=system`)
    expect(await screen.findByText('A CPU, 2 logical')).toBeVisible()
    for (const text of ['jax 0.10.2', '7,800 from data/train.jsonl', 'none of the held-out rows', 'changed: README.md'])
      expect(screen.getByText(text)).toBeVisible()
  })

  test('what its processes use is drawn', async () => {
    const used = {
      time: ['2026-01-31T12:00:02.000000Z', '2026-01-31T12:00:04.000000Z'],
      cpu_percent: [180, 95.5],
      rss_bytes: [2 ** 30, 3 * 2 ** 29],
      processes: [1, 2],
    }
    server.use(answer('/runs/:id/system', used))
    visit(`${PAGE}?tab=system`)
    expect(await screen.findByRole('img', { name: /^Processor, .*: 2 rows, lowest 96 %, latest 96 %/ })).toBeVisible()
    expect(screen.getByRole('img', { name: /^Memory, GiB: 2 rows, .*latest 1\.5/ })).toBeVisible()
  })

  test('what the watchers noticed is shown', async () => {
    const alerts = [{ code: 'no_step', message: 'No step for more than 60 seconds.', since: '2026-01-31T12:00:05Z' }]
    withRun({ alerts })
    visit(PAGE)
    expect(await screen.findByText('No step for more than 60 seconds.')).toBeVisible()
    expect(screen.getByText(/^Noticed/)).toBeVisible()
  })

  test('tabs stand in the address', async () => {
    const { user, address } = visit(PAGE)
    await user.click(await screen.findByRole('tab', { name: 'System' }))
    await waitFor(() => expect(address()).toContain('tab=system'))
    await user.click(screen.getByRole('tab', { name: 'Curves' }))
    await waitFor(() => expect(address()).toBe(PAGE))
  })

  test('a run that is not there is said to be missing', async () => {
    server.use(refuse('get', '/runs/:id', { status: 404, detail: 'there is no run x' }))
    visit('/runs/x')
    expect(await screen.findByText('there is no run x')).toBeVisible()
  })

  test('what a preflight said of it is shown, and compared where it ran on what that was said for', async () => {
    const preflight = {
      id: '20260131-110000-abcdef',
      topology: 'v5e-8',
      fits: true,
      sentence: 'Fits on v5e-8 (8 × TPU v5 lite): 5.50 GiB of 15.75 GiB on each device.',
      created_at: '2026-01-31T11:02:00.000000Z',
      peak_bytes: 2 ** 32,
      limit_bytes: 2 ** 34,
      compared: null,
      not_compared_because: 'foretold for 8 × TPU v5 lite, run on 1 × cpu',
    }
    withRun({ preflight })
    const { user } = visit(`${PAGE}?tab=system`)
    const panel = await screen.findByRole('region', { name: 'Preflight' })
    expect(panel).toHaveTextContent('Fits on v5e-8')
    expect(panel).toHaveTextContent('foretold for 8 × TPU v5 lite, run on 1 × cpu')
    await user.click(within(panel).getByRole('link', { name: 'the whole preflight' }))
    expect(await screen.findByRole('heading', { level: 1, name: 'smoke_tiny on v5e-8' })).toBeVisible()
  })

  test.each([
    [2 ** 28, '256 MiB more (6.3 %)'],
    [-(2 ** 28), '256 MiB less (6.3 %)'],
    [0, 'none'],
  ])('a difference of %d bytes to what was foretold is said', async (difference, said) => {
    const compared = {
      foretold_arguments: 2 ** 30,
      compiled_arguments: 2 ** 30,
      foretold_peak: 2 ** 32,
      compiled_peak: 2 ** 32 + difference,
      difference,
    }
    const facts = {
      id: null,
      topology: 'v5e-8',
      fits: false,
      sentence: 'Does not fit.',
      created_at: '2026-01-31T11:02:00Z',
    }
    const sizes = { peak_bytes: 2 ** 32, limit_bytes: 2 ** 34, not_compared_because: '' }
    withRun({ preflight: { ...facts, ...sizes, compared } })
    visit(`${PAGE}?tab=system`)
    expect(await screen.findByRole('region', { name: 'Preflight' })).toHaveTextContent(said)
  })
})
