// Screens of the page with people who do not exist: each is named, and can be opened at any size,
// in any colours and in any language. Nothing here needs an engine.
//
// Elsewhere: `screens.test.mjs` checks them; `shots.mjs` takes pictures of them to look at.

/** The morning on which all screens are looked at. */
export const NOW = new Date('2026-11-30T10:47:00')

const conversation = (name) => (page) => open(page, name)

async function open(page, name) {
  await page.locator('[role=option] .name', { hasText: new RegExp(`^${name}$`) }).click()
  await page.getByRole('log').waitFor()
}
async function settings(page, which) {
  await page.locator('button.account').click()
  await page.locator('button.entry').nth(which).click()
}
async function back(page) {
  const button = page.locator('.conversation header .icon-button').first()
  if ((await page.locator('.side').count()) === 0) await button.click()
}

/** Name, options of the fake engine, and what to do first. `phone` screens begin in the list. */
export const SCREENS = [
  ['conversation', 'typing', conversation('Kuusamo cabin')],
  ['list', '', back],
  ['direct', '', conversation('Noor Haddad')],
  ['states', '', conversation('Tomás Ortega')],
  ['poll', '', async (page) => {
    await open(page, 'Kuusamo cabin')
    await page.locator('.viewport').evaluate((log) => (log.scrollTop = 0))
    await page.locator('fieldset.poll').waitFor()
  }],
  ['new-poll', '', async (page) => {
    await open(page, 'Kuusamo cabin')
    await page.locator('button.plus').click()
    await page.getByRole('menuitem').nth(1).click()
    await page.locator('dialog').waitFor()
  }],
  ['keys-changed', 'changed', conversation('Jonas Aalto')],
  ['sms', '', conversation('Dad')],
  ['hello', '', conversation('Priya Raman')],
  ['notes', '', (page) => page.locator('[role=option]').nth(7).click()],
  ['request', '', async (page) => {
    await page.locator('button.requests').click()
    await page.getByRole('option').first().click()
    await page.getByRole('log').waitFor()
  }],
  ['details', '', async (page) => {
    await open(page, 'Kuusamo cabin')
    await page.locator('.conversation header .icon-button').last().click()
    await page.locator('aside h3').waitFor()
    await page.locator('aside .member').first().waitFor()
  }],
  ['details-person', '', async (page) => {
    await open(page, 'Noor Haddad')
    await page.locator('.conversation header .icon-button').last().click()
    await page.locator('aside h3').waitFor()
  }],
  ['files', '', async (page) => {
    await open(page, 'Kuusamo cabin')
    await page.locator('.conversation header .icon-button').last().click()
    await page.locator('aside .member').first().waitFor()
    await page.locator('aside .lines svg.lucide-images').click()
    await page.locator('aside .photo').first().waitFor()
  }],
  ['why', '', async (page) => {
    await open(page, 'Noor Haddad')
    await page.locator('button.trust').click()
    await page.locator('aside').waitFor()
  }],
  ['compare', '', async (page) => {
    await open(page, 'Jonas Aalto')
    await page.locator('.conversation header .icon-button').last().click()
    await page.locator('aside .buttons .button').first().click()
    await page.locator('dialog .numbers').waitFor()
  }],
  ['alarm', 'alarm', back],
  ['offline', 'offline', back],
  ['search', '', async (page) => {
    await back(page)
    await page.locator('button.search').click()
    await page.locator('.top input[type=text]').fill('platform')
    await page.locator('.found').first().waitFor()
  }],
  ['palette', '', async (page) => {
    await page.keyboard.press('Control+k')
    await page.locator('dialog input, [role=combobox]').first().fill('pl')
  }],
  ['new-message', '', async (page) => {
    await back(page)
    await page.locator('button.new:visible, button.float:visible').first().click()
    await page.locator('dialog').waitFor()
  }],
  ['emoji', '', async (page) => {
    await open(page, 'Kuusamo cabin')
    await page.locator('button.smile').click()
    await page.locator('.picker .one').nth(20).waitFor()
  }],
  ['writing', '', async (page) => {
    await open(page, 'Noor Haddad')
    await page.locator('textarea').fill('Bring **wool socks**, *please*, and the `KX-4471` ticket. ~~Platform 2~~ Platform 4')
  }],
  ['recording', '', async (page) => {
    await open(page, 'Noor Haddad')
    await page.locator('button.mic').focus()
    await page.keyboard.press('Enter')
    await page.locator('.recorder').waitFor()
  }],
  ['keys', '', async (page) => {
    await page.evaluate(() => document.activeElement?.blur())
    await page.keyboard.press('?')
    await page.locator('dialog').waitFor()
  }],
  ...['profile', 'devices', 'notifications', 'appearance', 'language', 'receipts', 'backup', 'auditors', 'export', 'doctor', 'about'].map((name, at) => [
    `settings-${name}`,
    '',
    async (page) => {
      await back(page)
      await settings(page, at)
      await page.locator('main :is(h1, h2)').first().waitFor()
    },
  ]),
  ['welcome', 'new', (page) => page.locator('h1').waitFor()],
  ['relay', 'new', async (page) => {
    await page.locator('.button.primary').click()
    await page.locator('input').first().fill('relay.example.org/#sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=')
    await page.locator('input').nth(1).fill('mira@example.org')
  }],
  ['code', 'new', async (page) => {
    await screen('relay').prepare(page)
    await page.locator('.button.primary').click()
    await page.locator('.cells input').pressSequentially('48273')
  }],
  ['words', 'new', async (page) => {
    await screen('relay').prepare(page)
    await page.locator('.button.primary').click()
    await page.locator('.cells input').pressSequentially('48273100')
    await page.locator('input[autocomplete=name]').fill('Mira Lindqvist')
    await page.locator('.button.primary').click()
    await page.locator('ol li').first().waitFor()
  }],
  ['link', 'new', async (page) => {
    await page.locator('.button.quiet').first().click()
    await page.locator('input').first().fill('relay.example.org/#sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=')
    await page.locator('input').nth(1).fill('Kitchen tablet')
    await page.locator('.button.primary').click()
    await page.locator('.link-code').waitFor()
  }],
].map(([name, options, prepare]) => ({ name, options, prepare }))

export function screen(name) {
  return SCREENS.find((one) => one.name === name)
}

/** Opens a screen in a page of its own. */
export async function show(browser, url, { name, options, prepare }, { width = 1280, height = 800, theme = 'light', locale = 'en-GB', scale = 1 } = {}, failure) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: theme,
    locale,
    deviceScaleFactor: scale,
    hasTouch: width < 700,
    reducedMotion: 'reduce',
    timezoneId: 'Europe/Helsinki',
  })
  const page = await context.newPage()
  page.setDefaultTimeout(10_000)
  await page.clock.install({ time: NOW })
  await page.goto(`${url}/?fake&${options}`)
  await page.locator('[role=option], h1').first().waitFor()
  try {
    await prepare(page)
  } catch (error) {
    if (failure) await page.screenshot({ path: failure })
    throw error
  }
  await page.evaluate(() => document.fonts.ready)
  return { context, page, name }
}
