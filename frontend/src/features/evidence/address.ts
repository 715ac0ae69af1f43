/** Where the bytes of a bundle's file are served. */
export function fileAddress(bundle: string, path: string): string {
  return `/evidence/${encodeURIComponent(bundle)}/files/${path.split('/').map(encodeURIComponent).join('/')}`
}
