import { defineConfig } from '@hey-api/openapi-ts'

export default defineConfig({
  input: './openapi.json',
  output: { path: 'src/api/gen' },
  plugins: ['@hey-api/typescript', { name: '@hey-api/client-fetch', throwOnError: true }, '@hey-api/sdk'],
})
