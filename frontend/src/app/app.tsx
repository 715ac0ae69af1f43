import { CSPProvider } from '@base-ui/react/csp-provider'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { type RouterHistory, RouterProvider } from '@tanstack/react-router'
import { StrictMode, useState } from 'react'
import { makeRouter } from './router.tsx'

/** Answers are refreshed by the stream, or asked again when they are old; a refused request is not repeated. */
function makeQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: { queries: { staleTime: 5_000, retry: false, refetchOnWindowFocus: true } },
  })
}

interface AppProps {
  /** The browser's own unless another is given. */
  readonly history?: RouterHistory
}

export function App({ history }: AppProps) {
  const [queries] = useState(makeQueryClient)
  const [router] = useState(() => makeRouter(history))
  return (
    <StrictMode>
      <CSPProvider disableStyleElements>
        <QueryClientProvider client={queries}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </CSPProvider>
    </StrictMode>
  )
}
