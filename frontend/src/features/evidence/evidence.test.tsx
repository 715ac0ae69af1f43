import { screen, waitFor, within } from '@testing-library/react'
import { HttpResponse, http } from 'msw'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { aBundle, aBundleSummary, aCheck } from '../../test/fixtures.ts'
import { visit } from '../../test/render.tsx'
import { answer, ORIGIN, refuse, server } from '../../test/server.ts'

describe('gallery', () => {
  test('each bundle says its verdict, sentence and numbers', async () => {
    server.use(answer('/evidence', { bundles: [aBundleSummary(), aBundleSummary({ name: 'bad_v1', valid: false })] }))
    const { user, address } = visit('/evidence')
    const [good, bad] = await screen.findAllByRole('listitem')
    for (const text of ['Verified · E2 coherent', 'tiny_v1', '1.451', '99.7 %', '30'])
      expect(good).toHaveTextContent(text)
    expect(bad).toHaveTextContent('Verification failed')
    await user.keyboard('j{Enter}')
    await waitFor(() => expect(address()).toBe('/evidence/tiny_v1'))
  })

  test('without bundles it says how to make one', async () => {
    visit('/evidence')
    expect(await screen.findByText('No evidence yet')).toBeVisible()
  })

  test('an error is said', async () => {
    server.use(refuse('get', '/evidence', { status: 500, detail: 'the disk is gone' }))
    visit('/evidence')
    expect(await screen.findByText('the disk is gone')).toBeVisible()
  })
})

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
    expect(within(claims).getByRole('link', { name: 'metrics.jsonl' })).toHaveAttribute(
      'href',
      '/evidence/tiny_v1/files/metrics.jsonl',
    )
    expect(claims).toHaveTextContent('Unproven: the leaves are not there')
    expect(screen.getByText(/python -m evidence verify/)).toBeVisible()
    expect(screen.getByText('step 1 loss 5.7')).toBeVisible()
    expect(screen.getByText('Whether the experiment is good science is not checked.')).toBeVisible()
    expect(screen.getByRole('link', { name: /Download/ })).toHaveAttribute('href', '/evidence/tiny_v1/archive.zip')
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
})
