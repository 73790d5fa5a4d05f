/**
 * Screenshots of the dashboard for docs/images, of the demo with visitors: `npm run dashboard:shots`, after a
 * build. Wants a Chromium (`CHROMIUM_PATH`).
 */
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import { chromiumPath, launchOptions } from './chromium.mjs'
import { smallPng } from './small-png.mjs'

const OUT = fileURLToPath(new URL('../../docs/images/', import.meta.url))
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const MAX_BYTES = 150 * 1024
const WIDE = { width: 1200, height: 800 }
const PHONE = { width: 390, height: 844 }
/** Long enough that the charts have something to show. */
const WATCHED_MS = 75_000

const path = chromiumPath()
if (path === undefined) {
  console.error('no Chromium here: set CHROMIUM_PATH')
  process.exit(1)
}
mkdirSync(OUT, { recursive: true })

const demo = spawn(
  process.execPath,
  [MAIN, 'demo', '--port', '0', '--admin-port', '0', '--traffic', '60'],
  { stdio: ['ignore', 'pipe', 'inherit'] },
)
let said = ''
await new Promise((resolve, reject) => {
  demo.once('exit', (code) => reject(new Error(`the demo ended with ${code}`)))
  demo.stdout.setEncoding('utf8').on('data', (text) => {
    said += text
    if (said.includes('Ctrl-C')) resolve(undefined)
  })
})
const find = (pattern) => pattern.exec(said)?.[1] ?? ''

const browser = await chromium.launch(launchOptions(path))
try {
  const page = await browser.newPage({ viewport: WIDE, locale: 'en-GB', reducedMotion: 'reduce' })
  const shot = async (name) => {
    // Without a focus ring where the last click was, and with the last toast gone.
    await page.evaluate('document.activeElement?.blur()')
    await page.mouse.move(0, 0)
    await page.waitForTimeout(400)
    const file = `${OUT}dashboard-${name}.png`
    const png = smallPng(await page.screenshot())
    console.log(`dashboard-${name}.png: ${Math.round(png.length / 1024)} KiB`)
    if (png.length > MAX_BYTES) throw new Error(`${file} is larger than ${MAX_BYTES} bytes`)
    writeFileSync(file, png)
  }
  const open = async (tab) => {
    await page.locator(`#tab-${tab}`).click()
    await page.evaluate('scrollTo(0, 0)')
  }
  const themed = async (colorScheme, act) => {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await act()
  }

  await page.goto(find(/Dashboard: +(\S+)/))
  await page.getByLabel('Token').fill(find(/its token: +(\S+)/))
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.locator('.map .arcs path').first().waitFor({ state: 'attached' })
  await page.waitForTimeout(WATCHED_MS / 3)
  // A region that dies gives the health and the failovers something to tell.
  process.kill(Number(find(/ap-southeast-1 .*process (\d+)/)), 'SIGKILL')
  await page.waitForTimeout((WATCHED_MS * 2) / 3)

  for (const theme of ['light', 'dark']) {
    await themed(theme, async () => {
      await open('live')
      await page.setViewportSize(WIDE)
      await shot(`live-${theme}`)
      await page.setViewportSize(PHONE)
      await shot(`live-phone-${theme}`)
      await page.setViewportSize(WIDE)
    })
  }
  await themed('light', async () => {
    await open('regions')
    await page.locator('.rollout').waitFor()
    await shot('regions')
    await open('security')
    await page.locator('.events button', { hasText: 'sql-injection' }).first().click()
    await page.getByRole('button', { name: 'Explain again' }).click()
    await page.locator('.explanation').waitFor()
    await shot('security')
    await open('cache')
    await page.locator('.bars').waitFor()
    await page.locator('td').first().waitFor()
    await shot('cache')
  })
  await themed('dark', async () => {
    await open('rules')
    const editor = page.locator('.editor textarea')
    await page.waitForTimeout(1000)
    const text = await editor.inputValue()
    await editor.fill(text.replace('"block"', '"blok"'))
    await page.locator('.problems').waitFor()
    await page.waitForTimeout(1500)
    await shot('rules')
  })
} finally {
  await browser.close()
  demo.removeAllListeners('exit')
  demo.kill('SIGINT')
}
