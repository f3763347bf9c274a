// The button that changes between light and dark, and remembers it.
'use strict'
{
  const button = document.getElementById('theme')
  const root = document.documentElement
  const system = matchMedia('(prefers-color-scheme: dark)')
  const dark = () => root.dataset.theme ? root.dataset.theme === 'dark' : system.matches
  const label = () => { button.textContent = dark() ? 'Light' : 'Dark' }
  label()
  button.hidden = false
  system.addEventListener('change', label)
  button.addEventListener('click', () => {
    root.dataset.theme = dark() ? 'light' : 'dark'
    document.cookie = `codex-proxy-theme=${root.dataset.theme}; Path=/console; Max-Age=31536000; SameSite=Strict`
    label()
  })
}
