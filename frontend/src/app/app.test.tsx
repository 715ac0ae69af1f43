import { screen, waitFor } from '@testing-library/react'
import { describe, expect, test } from 'vitest'
import { visit } from '../test/render.tsx'
import { answer, server } from '../test/server.ts'

describe('the application', () => {
  test('its home is the runs', async () => {
    const { address } = visit('/')
    await waitFor(() => expect(address()).toBe('/runs'))
  })

  test('keys go everywhere, and help says which', async () => {
    const { user, address } = visit('/runs')
    await screen.findByText('No runs yet')
    await user.keyboard('ge')
    await waitFor(() => expect(address()).toBe('/evidence'))
    await user.keyboard('n')
    await waitFor(() => expect(address()).toBe('/runs/new'))
    await user.keyboard('gr')
    await waitFor(() => expect(address()).toBe('/runs'))
    await user.keyboard('?')
    expect(await screen.findByRole('dialog', { name: 'Keyboard shortcuts' })).toBeVisible()
    await user.keyboard('{Escape}')
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull())
  })

  test('keys are letters while a field has the focus', async () => {
    const { user, address } = visit('/runs/new')
    await user.type(await screen.findByRole('textbox', { name: 'Name' }), 'gen')
    expect(address()).toBe('/runs/new')
  })

  test('the theme goes from the system to light to dark, and is kept', async () => {
    const { user } = visit('/runs')
    await user.click(await screen.findByRole('button', { name: /Theme: system/ }))
    expect(document.documentElement.dataset.theme).toBe('light')
    await user.click(screen.getByRole('button', { name: /Theme: light/ }))
    expect(document.documentElement.dataset.theme).toBe('dark')
    expect(localStorage.getItem('assay-theme')).toBe('dark')
  })

  test('an address without a page says so', async () => {
    visit('/nowhere')
    expect(await screen.findByText('There is no such page.')).toBeVisible()
  })

  test('a page that breaks leaves the rest standing', async () => {
    server.use(answer('/runs', { runs: [{ id: 'x', archived: false }], total: 1, next_cursor: null }))
    visit('/runs')
    expect(await screen.findByText('This page broke while it was drawn.')).toBeVisible()
    expect(screen.getByRole('navigation', { name: 'Main' })).toBeVisible()
  })
})
