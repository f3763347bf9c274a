// The button that changes between light and dark, and remembers it.
'use strict'
{
  const button = document.getElementById('theme')
  const root = document.documentElement
  const dark = () => root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  const label = () => { button.textContent = dark() ? 'Light' : 'Dark' }
  label()
  button.hidden = false
  button.addEventListener('click', () => {
    root.dataset.theme = dark() ? 'light' : 'dark'
    document.cookie = `codex-proxy-theme=${root.dataset.theme}; Path=/console; Max-Age=31536000; SameSite=Strict`
    label()
  })
}
