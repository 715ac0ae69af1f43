// Runs before the first paint, from a file of its own because the content security policy forbids inline scripts.
{
  let choice = 'system'
  try {
    choice = localStorage.getItem('assay-theme') ?? 'system'
  } catch {
    // Storage may be forbidden; the system's theme is right then.
  }
  const dark = choice === 'dark' || (choice !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.dataset.theme = dark ? 'dark' : 'light'
}
