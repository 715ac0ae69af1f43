import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  type RouterHistory,
  redirect,
} from '@tanstack/react-router'
import { compareSearch, gallerySearch } from '../features/evidence/search.ts'
import { listSearch, newSearch, runSearch } from '../features/runs/search.ts'
import { Broken, NotFound } from './fallbacks.tsx'
import { Shell } from './shell.tsx'

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound, errorComponent: Broken })

const home = createRoute({
  getParentRoute: () => root,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/runs', replace: true })
  },
})
const runs = createRoute({
  getParentRoute: () => root,
  path: '/runs',
  validateSearch: listSearch,
  component: lazyRouteComponent(() => import('../features/runs/list/runs-page.tsx'), 'RunsPage'),
})
const newRun = createRoute({
  getParentRoute: () => root,
  path: '/runs/new',
  validateSearch: newSearch,
  component: lazyRouteComponent(() => import('../features/runs/new/new-run-page.tsx'), 'NewRunPage'),
})
const run = createRoute({
  getParentRoute: () => root,
  path: '/runs/$runId',
  validateSearch: runSearch,
  component: lazyRouteComponent(() => import('../features/runs/show/run-page.tsx'), 'RunPage'),
})
const trash = createRoute({
  getParentRoute: () => root,
  path: '/trash',
  component: lazyRouteComponent(() => import('../features/runs/trash/trash-page.tsx'), 'TrashPage'),
})
const preflights = createRoute({
  getParentRoute: () => root,
  path: '/preflights',
  component: lazyRouteComponent(() => import('../features/preflights/preflights-page.tsx'), 'PreflightsPage'),
})
const preflight = createRoute({
  getParentRoute: () => root,
  path: '/preflights/$preflightId',
  component: lazyRouteComponent(() => import('../features/preflights/preflight-page.tsx'), 'PreflightPage'),
})
const evidence = createRoute({
  getParentRoute: () => root,
  path: '/evidence',
  validateSearch: gallerySearch,
  component: lazyRouteComponent(() => import('../features/evidence/list/gallery-page.tsx'), 'GalleryPage'),
})
const compare = createRoute({
  getParentRoute: () => root,
  path: '/evidence/compare',
  validateSearch: compareSearch,
  component: lazyRouteComponent(() => import('../features/evidence/compare/compare-page.tsx'), 'ComparePage'),
})
const bundle = createRoute({
  getParentRoute: () => root,
  path: '/evidence/$name',
  component: lazyRouteComponent(() => import('../features/evidence/show/bundle-page.tsx'), 'BundlePage'),
})

const routeTree = root.addChildren([home, runs, newRun, run, trash, preflights, preflight, evidence, compare, bundle])

/** The pages by address. Tests bring a history of their own. */
export function makeRouter(history?: RouterHistory) {
  return createRouter({
    routeTree,
    history,
    defaultPreload: 'intent',
    scrollRestoration: true,
    defaultErrorComponent: Broken,
    defaultNotFoundComponent: NotFound,
  })
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof makeRouter>
  }
}
