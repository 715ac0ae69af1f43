import { screen, waitFor } from '@testing-library/react'
import { HttpResponse, http } from 'msw'
import { describe, expect, test } from 'vitest'
import type { PreflightRequest, RunRequest } from '../../../api/types.ts'
import {
  aFit,
  aMisfit,
  anOpenPreflight,
  aPreflight,
  aReport,
  aRun,
  configs,
  PREFLIGHT_ID,
} from '../../../test/fixtures.ts'
import { visit } from '../../../test/render.tsx'
import { answer, ORIGIN, refuse, server } from '../../../test/server.ts'

function listen(): RunRequest[] {
  const asked: RunRequest[] = []
  server.use(
    http.post(`${ORIGIN}/runs`, async ({ request }) => {
      asked.push((await request.json()) as RunRequest)
      return HttpResponse.json(aRun(), { status: 201 })
    }),
  )
  return asked
}

describe('new run', () => {
  test('what was changed is sent, and nothing else', async () => {
    const asked = listen()
    const { user, address } = visit('/runs/new?preset=smoke_tiny')
    const steps = await screen.findByRole('textbox', { name: 'Steps' })
    await user.clear(steps)
    await user.type(steps, '50')
    const rate = screen.getByRole('textbox', { name: 'Learning rate' })
    await user.clear(rate)
    await user.type(rate, '1e-3')
    await user.click(screen.getByRole('radio', { name: 'cpu' }))
    await user.selectOptions(screen.getByRole('combobox', { name: 'Schedule' }), 'b')
    await user.type(screen.getByRole('textbox', { name: 'Name' }), 'my-run')
    await user.type(screen.getByRole('textbox', { name: 'Tags' }), 'one, two')
    await user.type(screen.getByRole('textbox', { name: 'Notes' }), 'why')
    await user.click(screen.getByRole('button', { name: 'Start run' }))
    await waitFor(() => expect(address()).toContain('/runs/2026'))
    expect(asked).toEqual([
      {
        config: 'smoke_tiny',
        overrides: { device: 'cpu', 'training.steps': 50, 'optimizer.schedule': 'b' },
        name: 'my-run',
        tags: ['one', 'two'],
        notes: 'why',
      },
    ])
  })

  test('where there is only this machine, nobody is asked where', async () => {
    visit('/runs/new?preset=smoke_tiny')
    await screen.findByRole('textbox', { name: 'Steps' })
    expect(screen.queryByRole('radio', { name: 'This machine' })).toBeNull()
  })

  test('a run is asked for at Kaggle, where the server has an account', async () => {
    const asked = listen()
    server.use(answer('/configs', { ...configs, launchers: ['local', 'kaggle'] }))
    const { user } = visit('/runs/new?preset=smoke_tiny')
    await user.click(await screen.findByRole('radio', { name: 'Kaggle' }))
    expect(screen.getByText(/A notebook with this commit is pushed to your account/)).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Start run' }))
    await waitFor(() => expect(asked).toEqual([{ config: 'smoke_tiny', overrides: {}, launcher: 'kaggle' }]))
  })

  test('a changed setting is marked, can be looked at alone, and reset', async () => {
    const { user } = visit('/runs/new?preset=smoke_tiny')
    const steps = await screen.findByRole('textbox', { name: 'Steps' })
    await user.type(steps, '0')
    expect(screen.getByText('1 changed from smoke_tiny')).toBeVisible()
    await user.click(screen.getByRole('switch', { name: 'Only changed' }))
    expect(screen.queryByRole('textbox', { name: 'Learning rate' })).toBeNull()
    await user.click(screen.getByRole('button', { name: 'Reset Steps to 20' }))
    expect(screen.getByText('Nothing is changed.')).toBeVisible()
  })

  test('a refusal stands beside its field, in a summary with the focus, and no input is lost', async () => {
    const message = "training.steps must be an integer, got the text 'many'"
    server.use(
      refuse('post', '/runs', {
        status: 422,
        detail: message,
        errors: [
          { field: 'training.steps', message },
          { field: 'model.head_dim', message: 'model.head_dim must be even, got 15' },
        ],
      }),
    )
    const { user } = visit('/runs/new?preset=smoke_tiny')
    const steps = await screen.findByRole('textbox', { name: 'Steps' })
    await user.clear(steps)
    await user.type(steps, 'many')
    await user.click(screen.getByRole('button', { name: 'Start run' }))
    await waitFor(() => expect(screen.getByRole('alert')).toHaveFocus())
    expect(screen.getByText('The run was not started: 2 settings need a change.')).toBeVisible()
    const field = screen.getByRole('textbox', { name: 'Steps' })
    expect(field).toHaveValue('many')
    expect(field).toBeInvalid()
    expect(field).toHaveAccessibleDescription(expect.stringContaining(message))
    await user.click(screen.getByRole('button', { name: /head_dim must be even/ }))
    expect(screen.getByRole('textbox', { name: 'Head dim' })).toHaveFocus()
  })

  test('the request can be taken to a shell', async () => {
    const { user } = visit('/runs/new?preset=smoke_tiny')
    await user.type(await screen.findByRole('textbox', { name: 'Steps' }), '0')
    await user.click(screen.getByRole('button', { name: 'Copy as CLI command' }))
    expect(await navigator.clipboard.readText()).toBe('assay launch smoke_tiny --set training.steps=200')
    await user.click(screen.getByRole('button', { name: 'Copy as curl' }))
    expect(await navigator.clipboard.readText()).toContain(
      `-d '{"config":"smoke_tiny","overrides":{"training.steps":200}}'`,
    )
  })

  test('another preset is one click away, a broken one says what is wrong', async () => {
    const { user, address } = visit('/runs/new')
    await user.click(await screen.findByRole('radio', { name: /smoke_tiny/ }))
    await waitFor(() => expect(address()).toContain('preset=smoke_tiny'))
    expect(screen.getByRole('radio', { name: /broken/ })).toBeDisabled()
    expect(screen.getByText('broken.yaml: steps is missing')).toBeVisible()
  })

  test('an earlier run is asked for again with its changes', async () => {
    const asked = listen()
    const { user } = visit('/runs/new?from=20260131-120000-abcdef')
    expect(await screen.findByRole('textbox', { name: 'Steps' })).toHaveValue('30')
    await user.click(screen.getByRole('button', { name: 'Start run' }))
    await waitFor(() => expect(asked).toHaveLength(1))
    expect(asked[0]).toMatchObject({ config: 'smoke_tiny', overrides: { 'training.steps': 30 }, name: 'tiny' })
  })

  test('a run without a shipped config is asked for by its spec', async () => {
    const asked = listen()
    server.use(answer('/runs/:id', aRun({ config: 'inline', overrides: [] })))
    const { user } = visit('/runs/new?from=x')
    await user.click(await screen.findByRole('button', { name: 'Start run' }))
    await waitFor(() => expect(asked).toHaveLength(1))
    expect(asked[0]?.spec).toMatchObject({ name: 'smoke_tiny' })
    expect(screen.queryByRole('button', { name: 'Copy as CLI command' })).toBeNull()
  })

  test('without an answer the form says so', async () => {
    server.use(refuse('get', '/configs', { status: 500, detail: 'the server made a mistake' }))
    visit('/runs/new')
    expect(await screen.findByText('the server made a mistake')).toBeVisible()
  })

  test('whether it fits is asked with what stands in the form, and answered in place', async () => {
    const asked: PreflightRequest[] = []
    const open = anOpenPreflight('running', { progress: { time: '', done: 0, total: 1, doing: 'compiling fsdp' } })
    server.use(
      http.post(`${ORIGIN}/preflights`, async ({ request }) => {
        asked.push((await request.json()) as PreflightRequest)
        return HttpResponse.json(open, { status: 201 })
      }),
      answer('/preflights/:id', open),
    )
    const { user } = visit('/runs/new?preset=smoke_tiny')
    const steps = await screen.findByRole('textbox', { name: 'Steps' })
    await user.type(steps, '0')
    await user.selectOptions(await screen.findByRole('combobox', { name: 'Topology' }), 'v3-8')
    await user.click(screen.getByRole('switch', { name: 'Search plans' }))
    await user.click(screen.getByRole('button', { name: 'Will it fit?' }))
    expect(await screen.findByText(/compiling fsdp \(0 of 1\)…/)).toBeVisible()
    expect(asked).toEqual([
      { config: 'smoke_tiny', overrides: { 'training.steps': 200 }, topology: 'v3-8', search: true },
    ])
    server.use(answer('/preflights/:id', aPreflight()))
    expect(await screen.findByText(/^Fits on v5e-8/)).toBeVisible()
    expect(screen.getByRole('link', { name: 'Report' })).toHaveAttribute('href', `/preflights/${PREFLIGHT_ID}`)
    expect(screen.queryByText(/changed since/)).toBeNull()
    await user.type(steps, '0')
    expect(screen.getByText(/The settings have changed since/)).toBeVisible()
  })

  test.each([
    ['does not fit', aPreflight({ fits: false, verdict: 'Does not fit on v5e-8.' }), /^Does not fit on v5e-8/],
    ['cannot be said', anOpenPreflight('failed', { reason: 'libtpu is not installed' }), /libtpu is not installed/],
    ['waits', anOpenPreflight('queued', { progress: null }), /waiting its turn…/],
  ])('a preflight that %s is told in place', async (_, preflight, said) => {
    server.use(
      http.post(`${ORIGIN}/preflights`, () => HttpResponse.json(preflight, { status: 201 })),
      answer('/preflights/:id', preflight),
    )
    const { user } = visit('/runs/new?preset=smoke_tiny')
    await user.click(await screen.findByRole('button', { name: 'Will it fit?' }))
    expect(await screen.findByText(said)).toBeVisible()
  })

  test('what is wrong with a question stands beside its field, as for a run', async () => {
    const message = 'training.steps must be at least 1, got 0'
    server.use(refuse('post', '/preflights', { status: 422, errors: [{ field: 'training.steps', message }] }))
    const { user } = visit('/runs/new?preset=smoke_tiny')
    await user.click(await screen.findByRole('button', { name: 'Will it fit?' }))
    expect(await screen.findByText('It was not asked.')).toBeVisible()
    expect(screen.getByRole('textbox', { name: 'Steps' })).toHaveAccessibleDescription(expect.stringContaining(message))
  })

  test('a preflight fills the form with what it was asked for and the plan it chose', async () => {
    const asked = listen()
    const chosen = aFit({ plan: { layout: 'fsdp', layers: 'scanned' } })
    server.use(answer('/preflights/:id', aPreflight({ report: aReport({ plans: [chosen] }) })))
    const { user, address } = visit(`/runs/new?preflight=${PREFLIGHT_ID}`)
    expect(await screen.findByRole('textbox', { name: 'Steps' })).toHaveValue('50')
    expect(screen.getByText('2 changed from smoke_tiny')).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Start run' }))
    await waitFor(() => expect(address()).toContain('/runs/2026'))
    expect(asked).toEqual([{ config: 'smoke_tiny', overrides: { 'training.steps': 50, 'plan.layers': 'scanned' } }])
  })

  test('a preflight of no shipped config fills the form with its own spec', async () => {
    const asked = listen()
    server.use(answer('/preflights/:id', aPreflight({ config: 'spec', report: aReport({ plans: [aMisfit()] }) })))
    const { user, address } = visit(`/runs/new?preflight=${PREFLIGHT_ID}`)
    await user.click(await screen.findByRole('button', { name: 'Start run' }))
    await waitFor(() => expect(address()).toContain('/runs/2026'))
    expect(asked[0]).toMatchObject({ spec: { name: 'smoke_tiny', training: { steps: 50 } }, overrides: {} })
  })
})
