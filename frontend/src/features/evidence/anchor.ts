/** Brings what the address points at into view. The browser cannot: the page came later, or a family is folded. */
export function followAnchor(): void {
  if (!location.hash) return
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)))
  target?.closest('details')?.setAttribute('open', '')
  target?.scrollIntoView({ block: 'center' })
}
