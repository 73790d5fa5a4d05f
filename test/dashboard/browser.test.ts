/** The dashboard in a real browser, against the demo with visitors. One page goes through all of it. */
import { type Browser, type ConsoleMessage, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Program } from '../harness/process.ts'
import { until } from '../harness/wait.ts'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import { chromiumPath, launchOptions } from './chromium.mjs'

const path = chromiumPath()
if (path === undefined) {
  console.log(
    'dashboard: no Chromium here (CHROMIUM_PATH, /usr/bin/chromium); its tests are skipped',
  )
}

/** Slow machines included. */
const PATIENCE_MS = 30_000
const TABS = ['live', 'regions', 'security', 'rules', 'cache'] as const

interface Call {
  readonly status: number
  readonly value: unknown
}

describe.skipIf(path === undefined)('the dashboard', { timeout: 120_000 }, () => {
  let demo: Program
  let browser: Browser
  let page: Page
  let gateway = ''
  let control = ''
  let dashboard = ''
  let token = ''
  const complaints: string[] = []

  beforeAll(async () => {
    demo = new Program('cli/main.js', [
      ...['demo', '--port', '0', '--admin-port', '0', '--traffic', '30'],
    ])
    await demo.says(/Ctrl-(C)/)
    gateway = await demo.says(/is running: (\S+)/)
    dashboard = await demo.says(/Dashboard: +(\S+)/)
    control = await demo.says(/Control port: +(\S+)/)
    token = await demo.says(/its token: +(\S+)/)
    browser = await chromium.launch(launchOptions(path as string))
    page = await browser.newPage({ viewport: { width: 1280, height: 900 }, locale: 'en-GB' })
    page.setDefaultTimeout(PATIENCE_MS)
    page.on('console', (message: ConsoleMessage) => {
      if (message.type() === 'error' || message.type() === 'warning')
        complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(error.message))
    await page.goto(dashboard)
  }, 120_000)

  afterAll(async () => {
    await browser?.close()
    await demo?.end()
  })

  const call = async (method: string, route: string, body?: unknown): Promise<Call> => {
    const response = await fetch(`${control}${route}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: response.status, value: await response.json() }
  }
  const ask = async (route: string) => {
    const response = await fetch(`${gateway}${route}`)
    await response.body?.cancel()
    return response.status
  }
  const open = (tab: (typeof TABS)[number]) => page.getByRole('tab', { name: tab }).click()
  const sure = (button: string) =>
    page.getByRole('dialog').getByRole('button', { name: button }).click()
  const see = (text: string | RegExp) => page.getByText(text).first().waitFor()
  /** None since the last time; the page must give the browser nothing to complain of. */
  const noComplaints = () => expect(complaints.splice(0)).toEqual([])

  it('asks for the token, says when it is wrong, and keeps it out of addresses', async () => {
    await page.getByLabel('Token').waitFor()
    noComplaints()
    await page.getByLabel('Token').fill('not-the-token-of-this-one')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await see('This is not the token of this gateway.')
    // The browser notes each refused call by itself.
    expect(complaints.splice(0)).toEqual([expect.stringContaining('401')])
    await page.getByLabel('Token').fill(token)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('tab', { name: 'Live' }).waitFor()
    expect(page.url()).not.toContain(token)
    const kept = await page.evaluate(
      '[Object.values(sessionStorage).length, Object.values(localStorage).length, document.cookie]',
    )
    expect(kept).toEqual([1, 0, ''])
    await page.reload()
    await page.getByRole('tab', { name: 'Live' }).waitFor()
    noComplaints()
  })

  it('Live: the map, the rates and the rules move with the traffic', async () => {
    await see('Live')
    await page.locator('.map .arcs path.origin').first().waitFor({ state: 'attached' })
    await page.locator('.map .arcs path.cache').first().waitFor({ state: 'attached' })
    expect((await page.locator('.land').getAttribute('d'))?.length).toBeGreaterThan(5000)
    for (const region of ['eu-central-1', 'us-east-1', 'ap-southeast-1']) {
      await page.locator('.region', { hasText: region }).waitFor()
    }
    const tile = (name: string) =>
      page.locator('.tile', { hasText: name }).locator('dd').textContent()
    await until(
      'requests are counted',
      async () => Number(await tile('Requests a second')) > 10 || undefined,
      PATIENCE_MS,
    )
    expect(await tile('Latency, p95')).toMatch(/^[\d.]+ m?s$/)
    await until(
      'hits are counted',
      async () => /^\d/.test((await tile('Cache hit ratio')) ?? '') || undefined,
    )
    await ask(`/?id=${encodeURIComponent("1' OR '1'='1")}`)
    await page.locator('.card', { hasText: 'Refused by rule' }).getByText('sql-injection').waitFor()
    expect(await page.locator('.chart canvas').count()).toBe(2)
    noComplaints()
  })

  it('is worked by keyboard: arrows between tabs, one stop for the Tab key', async () => {
    await page.getByRole('tab', { name: 'Live' }).focus()
    for (const name of ['Regions', 'Security', 'Rules', 'Cache', 'Live']) {
      await page.keyboard.press('ArrowRight')
      await page.locator('[role=tab][aria-selected=true]', { hasText: name }).waitFor()
      expect(await page.evaluate('document.activeElement.textContent')).toBe(name)
      expect(await page.locator('[role=tab][tabindex="0"]').count()).toBe(1)
    }
    await page.keyboard.press('End')
    expect(page.url()).toContain('#cache')
    await page.keyboard.press('Home')
    await page.locator('[role=tab][aria-selected=true]', { hasText: 'Live' }).waitFor()
    await page.waitForFunction("getComputedStyle(document.activeElement).outlineStyle === 'solid'")
    noComplaints()
  })

  it('Regions: drains with a reason, enables again, and moves a rollout', async () => {
    await open('regions')
    const card = page.locator('.card', {
      has: page.getByRole('heading', { name: 'ap-southeast-1' }),
    })
    await card.getByRole('button', { name: 'Drain…' }).click()
    await page.getByLabel('Reason').fill('works on the cable')
    await page.keyboard.press('Escape')
    expect(await card.getByRole('button', { name: 'Enable' }).count()).toBe(0)
    await card.getByRole('button', { name: 'Drain…' }).click()
    await page.getByLabel('For', { exact: true }).selectOption('1h')
    await page.getByLabel('Reason').fill('works on the cable')
    await sure('Drain')
    await card.getByText(/Drained by token.*works on the cable/).waitFor()
    const drained = (await call('GET', '/regions')).value
    expect(drained).toMatchObject({
      regions: [
        { name: 'eu-central-1', drained: false },
        { name: 'us-east-1', drained: false },
        { name: 'ap-southeast-1', drained: true, reason: 'works on the cable' },
      ],
    })
    await card.getByRole('button', { name: 'Enable' }).click()
    await card.getByRole('button', { name: 'Drain…' }).waitFor()

    const rollout = page.locator('.rollout')
    await rollout.getByRole('button', { name: 'Advance' }).click()
    await sure('Advance')
    await rollout.getByText('25 %', { exact: true }).waitFor()
    await rollout.getByRole('button', { name: 'Freeze' }).click()
    await rollout.getByRole('button', { name: 'Resume' }).waitFor()
    await rollout.getByRole('button', { name: 'Roll back' }).click()
    await sure('Roll back')
    await rollout.getByText('0 %', { exact: true }).first().waitFor()
    expect((await call('GET', '/rollouts')).value).toMatchObject({ rollouts: [{ percent: 0 }] })
    noComplaints()
  })

  it('Regions: shows the failover and the health of a region that dies', async () => {
    const pid = Number(await demo.says(/us-east-1 .*process (\d+)/))
    process.kill(pid, 'SIGKILL')
    const log = page.locator('.card', { hasText: 'Failover log' })
    // The region's end and, unless a check saw it before any visitor did, a request that it did not answer.
    const row = log.getByRole('row', { name: 'us-east-1' })
    await row
      .filter({ hasText: /region-down|us-east-1 → / })
      .first()
      .waitFor()
    await page
      .locator('.timeline')
      .getByRole('img', { name: /virginia\/us-east-1: .*(ejected|down) for/ })
      .waitFor()
    noComplaints()
  })

  it('Security: says why, explains again, and publishes an exception that holds', async () => {
    const attack = `/poems?line=${encodeURIComponent("1' OR '1'='1")}`
    expect(await ask(attack)).toBe(403)
    await open('security')
    await page.getByLabel('Search').fill('/poems')
    await page.locator('.events button', { hasText: '/poems' }).first().click()
    await see('A value changes a SQL statement')
    await page.getByRole('button', { name: 'Explain again' }).click()
    await page.locator('.explanation .answered', { hasText: 'inspect' }).waitFor()
    await page.getByRole('button', { name: 'Make exception…' }).click()
    await page.getByLabel('Why', { exact: true }).fill('poems look like that')
    const json = await page.locator('.code pre').textContent()
    expect(JSON.parse(json ?? '')).toEqual({
      description: 'poems look like that',
      when: 'http.host eq "localhost" and http.request.uri.path eq "/poems"',
      ids: ['sql-injection'],
    })
    await page.getByRole('button', { name: 'Publish exception' }).click()
    await sure('Publish')
    await see('The exception is in the config and in use')
    expect((await call('GET', '/config')).value).toMatchObject({
      waf: { exceptions: [{ ids: ['sql-injection'] }] },
    })
    // Another rule stops it too, and the page says so by itself.
    await page.locator('.explanation .answered', { hasText: 'attack-score' }).waitFor()
    expect(await ask(attack)).toBe(403)
    await page.locator('.events button', { hasText: 'attack-score' }).first().click()
    await page.getByRole('button', { name: 'Make exception…' }).click()
    await page.getByRole('button', { name: 'Publish exception' }).click()
    await sure('Publish')
    await page.locator('.explanation', { hasText: '200 served' }).waitFor()
    expect(await ask(attack)).toBe(200)
    expect(await ask(attack.replace('/poems', '/prose'))).toBe(403)
    noComplaints()
  })

  it('Rules: errors at their line, a dry run over what was recorded, and publishing', async () => {
    await open('rules')
    const editor = page.getByLabel('Ruleset shop-rules, JSON')
    await until('the ruleset is there', async () =>
      (await editor.inputValue()).length > 100 ? true : undefined,
    )
    const text = await editor.inputValue()
    const problems = page.locator('.problems')
    await editor.fill(text.replace('"block"', '"block'))
    await problems
      .getByText(/^line 9:/)
      .first()
      .waitFor()
    expect(await page.locator('.editor li.marked').first().textContent()).toBe('9')
    await editor.fill(text.replace('"block"', '"blok"'))
    await problems.getByText(/line 9.*rules\[0\]\.action/).waitFor()
    expect(await page.getByRole('button', { name: 'Publish' }).isDisabled()).toBe(true)

    const wider = text
      .replace('eq \\"/products/export\\"', 'wildcard \\"/products/*\\"')
      .replace('"match": false', '"match": true')
    await editor.fill(wider)
    await see('changed, holds')
    await page.getByRole('button', { name: 'Dry run' }).click()
    await see(/Would be blocked now: \d+/)
    expect(await ask('/products/7')).not.toBe(403)

    await editor.fill(text.replaceAll('/products/export', '/products/secret'))
    await see('changed, holds')
    await page.getByRole('button', { name: 'Publish' }).click()
    await sure('Publish')
    await see('shop-rules is in use in 1 process')
    expect(await ask('/products/secret')).toBe(403)
    expect(await ask('/products/export')).not.toBe(403)
    noComplaints()
  })

  it('Cache: looks a URL up, purges it, and says what is missed and why', async () => {
    await open('cache')
    await page.locator('.bars', { hasText: 'cached' }).waitFor()
    await page.locator('td', { hasText: 'uri-miss' }).first().waitFor()
    const url = `${gateway}/cached?browser`
    await ask('/cached?browser')
    const look = async () => {
      await page.getByRole('textbox', { name: 'URL', exact: true }).fill(url)
      await page.getByRole('button', { name: 'Look' }).click()
    }
    await look()
    await page.locator('.facts-list', { hasText: 'fresh' }).first().waitFor()
    await page.getByRole('textbox', { name: 'URLs' }).fill(url)
    await page.getByRole('button', { name: 'Count first' }).click()
    await see('1 stored responses in memory would be purged.')
    await page.getByRole('button', { name: 'Purge', exact: true }).click()
    await sure('Purge')
    await see('Purged in 1 process')
    await look()
    await page.locator('.facts-list', { hasText: 'purged' }).first().waitFor()
    noComplaints()
  })

  it('fits a phone, follows the system’s theme and the switch, and keeps still when asked to', async () => {
    const background = () =>
      page.evaluate('getComputedStyle(document.documentElement).backgroundColor')
    await page.emulateMedia({ colorScheme: 'light' })
    const light = await background()
    await page.emulateMedia({ colorScheme: 'dark' })
    const dark = await background()
    expect(dark).not.toBe(light)
    await page.getByRole('button', { name: 'Theme: auto' }).click()
    await until('the switch makes it light', async () => (await background()) === light)
    await page.getByRole('button', { name: 'Theme: light' }).click()
    await page.emulateMedia({ colorScheme: 'light' })
    await until('the switch makes it dark', async () => (await background()) === dark)
    await page.getByRole('button', { name: 'Theme: dark' }).click()

    await page.setViewportSize({ width: 390, height: 844 })
    for (const tab of TABS) {
      await open(tab)
      await page.locator('.card').first().waitFor()
      const width = await page.evaluate('document.documentElement.scrollWidth')
      expect([tab, width]).toEqual([tab, 390])
    }
    await open('live')
    const arc = page.locator('.map .arcs path.cache').first()
    await arc.waitFor({ state: 'attached' })
    const animation = () =>
      page.evaluate(
        'getComputedStyle(document.querySelector(".map > svg .arcs path.cache")).animationName',
      )
    expect(await animation()).toBe('travel')
    await page.emulateMedia({ reducedMotion: 'reduce' })
    expect(await animation()).toBe('none')
    await page.setViewportSize({ width: 1280, height: 900 })
    noComplaints()
  })

  it('says when the gateway is gone, and keeps what was known on the screen', async () => {
    await open('live')
    await page.locator('.region').first().waitFor({ state: 'attached' })
    demo.kill('SIGINT')
    await page.locator('.banner').getByText('Trying again').waitFor()
    await see('Reconnecting…')
    expect(await page.locator('.region').count()).toBe(3)
    // What cannot be reached is the browser's complaint; the page has none of its own.
    for (const complaint of complaints.splice(0)) expect(complaint).toMatch(/Failed to load|ERR_/)
  })
})
