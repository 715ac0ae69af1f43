import { act, screen, waitFor, within } from '@testing-library/react'
import { HttpResponse, http } from 'msw'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { aBundle, aCheck, aMisfit, aReport } from '../../../test/fixtures.ts'
import { visit } from '../../../test/render.tsx'
import { answer, ORIGIN, refuse, server } from '../../../test/server.ts'

describe('an evidence page', () => {
  afterEach(() => vi.unstubAllGlobals())

  test('tells verdict, ladder, claims with proofs, gaps, limits and commands', async () => {
    visit('/evidence/tiny_v1')
    const verdict = await screen.findByRole('region', { name: 'Verdict' })
    expect(verdict).toHaveTextContent('Gemma-architecture model of 86.5k parameters')
    expect(verdict).toHaveTextContent('1 of 2 checks pass')
    expect(within(verdict).getAllByLabelText('reached')).toHaveLength(3)
    expect(verdict).toHaveTextContent('E3 needs the source snapshot.')
    const claims = screen.getByRole('region', { name: 'Claims' })
    expect(within(claims).getByRole('link', { name: 'metrics.jsonl' })).toHaveAttribute('href', '#file-metrics.jsonl')
    expect(claims).toHaveTextContent('Unproven: the leaves are not there')
    expect(screen.getByText(/python -m evidence verify/)).toBeVisible()
    expect(screen.getByText('step 1 loss 5.7')).toBeVisible()
    expect(screen.getByText('Whether the experiment is good science is not checked.')).toBeVisible()
    expect(screen.getByRole('link', { name: 'Download' })).toHaveAttribute('href', '/evidence/tiny_v1/archive.zip')
  })

  test('a failed verification shows its findings loudly', async () => {
    const finding = {
      file: 'metrics.jsonl',
      where: 'line 7',
      expected: 'loss 4.2',
      found: 'loss 4.1',
      sentence: 'metrics.jsonl: line 7: expected loss 4.2, found loss 4.1',
    }
    const failed = aCheck({ id: 'MET-03', result: 'fail', findings: [finding, { ...finding, sentence: 'another' }] })
    server.use(answer('/evidence/:name', aBundle({ valid: false, level: 'E0', results: [aCheck(), failed] })))
    visit('/evidence/tiny_v1')
    const verdict = await screen.findByRole('region', { name: 'Verdict' })
    expect(verdict).toHaveTextContent('Verification failed')
    expect(verdict).toHaveTextContent(`${finding.sentence} (and 1 more)`)
    expect(screen.getAllByText('loss 4.1')[0]).toBeVisible()
  })

  test('a bundle that is not readable has no claims, and says so', async () => {
    server.use(answer('/evidence/:name', aBundle({ level: '', claims: [], predictions: [], log_excerpt: [] })))
    visit('/evidence/tiny_v1')
    expect(await screen.findByText('Not verified')).toBeVisible()
    expect(screen.queryByRole('region', { name: 'Claims' })).toBeNull()
  })

  test('digests are computed in the browser from the bytes', async () => {
    const bytes = new TextEncoder().encode('hello')
    const sha256 = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'
    const contents = ['right', 'wrong', 'gone'].map((path) => ({ path, sha256, bytes: 5 }))
    server.use(
      answer('/evidence/:name', aBundle({ contents })),
      http.get(`${ORIGIN}/evidence/tiny_v1/files/right`, () => HttpResponse.arrayBuffer(bytes.buffer)),
      http.get(`${ORIGIN}/evidence/tiny_v1/files/wrong`, () => HttpResponse.text('hallo')),
      http.get(`${ORIGIN}/evidence/tiny_v1/files/gone`, () => new HttpResponse(null, { status: 404 })),
    )
    const { user } = visit('/evidence/tiny_v1')
    await user.click(await screen.findByRole('button', { name: 'Verify in this browser' }))
    expect(await screen.findByText('1 of 3 match, 2 do not')).toBeVisible()
    for (const result of ['matches', 'differs', 'unreadable']) expect(screen.getByText(result)).toBeVisible()
  })

  test('only the wrong answers, on demand', async () => {
    const { user } = visit('/evidence/tiny_v1')
    await user.click(await screen.findByRole('radio', { name: 'Wrong 1' }))
    expect(screen.queryByText('1+1=?')).toBeNull()
    expect(screen.getByText('2+2=?')).toBeVisible()
  })

  test('the curve is also a table', async () => {
    const { user } = visit('/evidence/tiny_v1')
    expect(await screen.findByRole('img', { name: 'Loss over 3 steps, from 5.700 to 1.450' })).toBeVisible()
    await user.click(screen.getByRole('switch', { name: 'Log scale' }))
    await user.click(screen.getByRole('button', { name: 'Table' }))
    expect(screen.getByRole('cell', { name: '3.200' })).toBeVisible()
  })

  test('it prints', async () => {
    const print = vi.fn()
    vi.stubGlobal('print', print)
    const { user } = visit('/evidence/tiny_v1')
    await user.click(await screen.findByRole('button', { name: 'Print' }))
    expect(print).toHaveBeenCalled()
  })

  test('an anchor opens what it points at', async () => {
    location.hash = '#check-MET-01'
    visit('/evidence/tiny_v1')
    await waitFor(() => expect(document.getElementById('check-MET-01')?.closest('details')).toHaveAttribute('open'))
    location.hash = ''
  })

  test('a bundle that is not there is said to be missing', async () => {
    server.use(refuse('get', '/evidence/:name', { status: 404, detail: 'there is no bundle x' }))
    visit('/evidence/x')
    expect(await screen.findByText('there is no bundle x')).toBeVisible()
  })

  test('checks that pass are out of the way on demand; a link to one brings it back', async () => {
    const { user } = visit('/evidence/tiny_v1')
    const checks = await screen.findByRole('region', { name: 'Checks' })
    await user.click(within(checks).getByRole('radio', { name: 'Needs attention 1' }))
    expect(within(checks).queryByText(/MET-01/)).toBeNull()
    expect(within(checks).getByText('no clock')).toBeVisible()
    location.hash = '#check-MET-01'
    expect(await within(checks).findByText(/MET-01/)).toBeVisible()
    location.hash = ''
  })

  test('all checks pass: nothing needs attention', async () => {
    server.use(answer('/evidence/:name', aBundle({ results: [aCheck()] })))
    const { user } = visit('/evidence/tiny_v1')
    await user.click(await screen.findByRole('radio', { name: 'Needs attention 0' }))
    expect(screen.getByText('Every check passes.')).toBeVisible()
  })

  test('a check tells its cost and severity, and a finding leads to its place', async () => {
    const finding = { file: 'metrics.jsonl', where: 'line 7', expected: 'a', found: 'b', sentence: 'a, not b' }
    const warned = aCheck({ result: 'warn', severity: 'warn', cost: 'audit', findings: [finding] })
    server.use(answer('/evidence/:name', aBundle({ results: [warned] })))
    visit('/evidence/tiny_v1')
    expect(await screen.findByText('reads arrays · warns only')).toBeInTheDocument()
    const [link] = screen.getAllByRole('link', { name: 'metrics.jsonl', hidden: true }).slice(-1)
    expect(link).toHaveAttribute('href', '#file-metrics.jsonl:7')
  })

  test('a failed run says how it failed, and where the log says so', async () => {
    const outcome = {
      kind: 'failed',
      stage: 'training',
      error_type: 'FloatingPointError',
      error_message: 'loss is NaN at step 7',
      said: { kind: 'quoted', line: 42, text: 'x' },
    }
    const log = { path: 'kaggle_output_log.txt', sha256: 'a'.repeat(64), bytes: 1 }
    server.use(
      answer(
        '/evidence/:name',
        aBundle({
          outcome: 'failed',
          manifest: { run: { outcome } },
          contents: [log],
          curve: { step: [], columns: {} },
        }),
      ),
    )
    visit('/evidence/tiny_v1')
    const verdict = await screen.findByRole('region', { name: 'Verdict' })
    expect(verdict).toHaveTextContent('The run failed while training')
    expect(verdict).toHaveTextContent('FloatingPointError: loss is NaN at step 7')
    expect(within(verdict).getByRole('link', { name: 'line 42 of the log' })).toHaveAttribute(
      'href',
      '#file-kaggle_output_log.txt:42',
    )
    expect(screen.queryByRole('region', { name: 'Loss curve' })).toBeNull()
  })

  test('lines of the log are taken apart, or shown as written', async () => {
    const text = `:::EVID {"kind":"devices","platform":"cpu","program":"${'f'.repeat(64)}"}`
    const lines = [text, ':::EVID {"kind":', 'plain words'].map((line, index) => ({ number: index + 1, text: line }))
    server.use(answer('/evidence/:name', aBundle({ log_excerpt: lines })))
    const { user } = visit('/evidence/tiny_v1')
    const log = await screen.findByRole('list', { name: 'Lines of the log' })
    expect(within(log).getByText('devices')).toBeVisible()
    expect(log).toHaveTextContent('platform cpu')
    expect(log).toHaveTextContent('ffffffffffff…')
    expect(log).toHaveTextContent('plain words')
    await user.click(screen.getByRole('radio', { name: 'As written' }))
    expect(within(log).getByText(text)).toBeVisible()
    expect(within(log).getByRole('link', { name: '1' })).toHaveAttribute('href', '#file-logs/session.log:1')
  })

  test('answers are searched', async () => {
    const { user } = visit('/evidence/tiny_v1')
    const answers = await screen.findByRole('region', { name: 'Held-out answers' })
    await user.type(within(answers).getByRole('searchbox'), '#### 5')
    expect(within(answers).queryByText('1+1=?')).toBeNull()
    await user.type(within(answers).getByRole('searchbox'), 'zzz')
    expect(within(answers).getByText('No answer has these words.')).toBeVisible()
  })

  test('samples stand by question, a few steps each', async () => {
    const samples = Array.from({ length: 9 }, (_, step) => ({
      step,
      prompt: 'Why?',
      expected: 'Because.',
      text: step === 0 ? ' ' : `guess ${step}`,
      time: '',
    }))
    server.use(answer('/evidence/:name', aBundle({ samples })))
    const { user } = visit('/evidence/tiny_v1')
    const panel = await screen.findByRole('region', { name: 'Samples while it learned' })
    expect(panel).toHaveTextContent('(nothing)')
    expect(within(panel).queryByText('guess 1')).toBeNull()
    await user.click(within(panel).getByRole('button', { name: 'All 9 steps' }))
    expect(within(panel).getByText('guess 1')).toBeVisible()
  })

  test('the preflight that was sealed along, or why there is none', async () => {
    const contents = [{ path: 'preflight.json', sha256: 'a'.repeat(64), bytes: 100 }]
    server.use(
      answer('/evidence/:name', aBundle({ contents })),
      answer('/evidence/:name/files/preflight.json', aReport()),
    )
    visit('/evidence/tiny_v1')
    const panel = await screen.findByRole('region', { name: 'Preflight' })
    expect(await within(panel).findByText('v5e-8: 8 × TPU v5 lite')).toBeVisible()
    expect(panel).toHaveTextContent('5.5 GiB of 15.8 GiB (34.9 %)')
  })

  test.each([
    ['does not fit', aReport({ fits: false, plans: [aMisfit()] }), '31.8 GiB of 15.8 GiB'],
    ['has no chosen plan', aReport({ chosen: 7 }), 'not said'],
    ['is no report', { plans: 'none' }, 'The report cannot be read.'],
  ])('a preflight that %s', async (_, report, said) => {
    const contents = [{ path: 'preflight.json', sha256: 'a'.repeat(64), bytes: 100 }]
    server.use(answer('/evidence/:name', aBundle({ contents })), answer('/evidence/:name/files/preflight.json', report))
    visit('/evidence/tiny_v1')
    expect(await screen.findByText(new RegExp(said))).toBeVisible()
  })

  test('without a preflight it says why', async () => {
    server.use(answer('/evidence/:name', aBundle({ manifest: { preflight: { because: 'nobody asked' } } })))
    visit('/evidence/tiny_v1')
    expect(await screen.findByText('None: nobody asked.')).toBeVisible()
  })

  test('on paper everything stands open, and the curve is drawn anew', async () => {
    visit('/evidence/tiny_v1')
    await screen.findByRole('region', { name: 'Checks' })
    expect(document.getElementById('check-MET-01')?.closest('details')).not.toHaveAttribute('open')
    act(() => void window.dispatchEvent(new Event('beforeprint')))
    expect(document.getElementById('check-MET-01')?.closest('details')).toHaveAttribute('open')
    expect(screen.getByText('logs/session.log')).toBeInTheDocument()
    expect(screen.queryByRole('img', { name: /Loss over/ })).toBeNull()
    act(() => void window.dispatchEvent(new Event('afterprint')))
    expect(document.getElementById('check-MET-01')?.closest('details')).not.toHaveAttribute('open')
  })
})

describe('whose word it is', () => {
  const key = 'd'.repeat(64)
  const statement = {
    file: 'attestations/tree.json',
    state: 'trusted',
    signer: 'lab',
    key_sha256: key,
    says: 'it signs every file',
  } as const

  test('an unsigned bundle says that it is', async () => {
    visit('/evidence/tiny_v1')
    const panel = await screen.findByRole('region', { name: 'Signatures and witness' })
    expect(panel).toHaveTextContent('Unsigned')
    expect(panel).toHaveTextContent('nobody countersigned the rows while the run went on.')
  })

  test.each([
    ['trusted', 'Signed by lab', 'knew before it saw the bundle'],
    ['unknown', 'Unknown signer', 'nobody here has said to trust'],
    ['invalid', 'Invalid signature', 'A signature does not hold'],
  ] as const)('a %s signature', async (state, badge, meaning) => {
    const signer = state === 'trusted' ? 'lab' : ''
    const signature = { state, signer, key_sha256: key, statements: [{ ...statement, state, signer }] }
    const witness = { public_key_sha256: key, receipt_count: 12, same_host: true }
    const seen = aCheck({
      id: 'SIG-06',
      family: 'signatures',
      result: state === 'trusted' ? 'pass' : 'not-run',
      reason: 'not pinned',
    })
    server.use(answer('/evidence/:name', aBundle({ signature, manifest: { witness }, results: [seen] })))
    visit('/evidence/tiny_v1')
    const panel = await screen.findByRole('region', { name: 'Signatures and witness' })
    expect(panel).toHaveTextContent(badge)
    expect(panel).toHaveTextContent(meaning)
    expect(panel).toHaveTextContent('12 heads of the chain')
    expect(panel).toHaveTextContent('on the machine that trained')
    expect(panel).toHaveTextContent(state === 'trusted' ? 'Its receipts hold.' : 'not pinned')
    expect(within(panel).getByRole('link', { name: statement.file })).toHaveAttribute('href', `#file-${statement.file}`)
  })

  test('a key that only the repository names is not known to be its owner’s', async () => {
    const signature = { state: 'unknown', signer: 'lab', key_sha256: key, statements: [] } as const
    server.use(answer('/evidence/:name', aBundle({ signature: { ...signature, statements: [] } })))
    visit('/evidence/tiny_v1')
    expect(await screen.findByText(/by the key that this repository names lab/)).toBeVisible()
  })

  test('an imported bundle that is not valid is never trusted', async () => {
    server.use(answer('/evidence/:name', aBundle({ origin: 'imported', valid: false })))
    visit('/evidence/tiny_v1')
    expect(await screen.findByText('Imported; not valid.')).toBeVisible()
  })

  test('an imported bundle is deleted after a question', async () => {
    let deleted = 0
    server.use(
      answer('/evidence/:name', aBundle({ origin: 'imported' })),
      refuse('delete', '/evidence/:name', { status: 409, detail: 'this bundle was sealed here' }),
    )
    const { user, address } = visit('/evidence/tiny_v1')
    expect(await screen.findByText('Imported.')).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Delete' }))
    await user.click(await screen.findByRole('button', { name: 'Keep it' }))
    await user.click(screen.getByRole('button', { name: 'Delete' }))
    await user.click(await screen.findByRole('button', { name: 'Delete it' }))
    expect(await screen.findByText('this bundle was sealed here')).toBeVisible()
    server.use(
      http.delete(`${ORIGIN}/evidence/tiny_v1`, () => {
        deleted++
        return new HttpResponse(null, { status: 204 })
      }),
    )
    await user.click(screen.getByRole('button', { name: 'Delete it' }))
    await waitFor(() => expect(address()).toBe('/evidence'))
    expect(deleted).toBe(1)
  })
})
