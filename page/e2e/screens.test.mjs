// Every screen: without accessibility findings, without anything that sticks out, and as it was.
//
// Run: npm run build:fake, then node --test e2e/screens.test.mjs. UPDATE=1 takes new pictures of the
// main screens where they differ; look at them before they are committed.
// Elsewhere: the screens are named in `look.mjs`.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import pixelmatch from 'pixelmatch'
import { PNG } from 'pngjs'
import { SCREENS, screen, show } from './look.mjs'
import { launch, serve, watch } from './stage.mjs'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const PICTURES = join(import.meta.dirname, 'pictures')
const MAIN = ['conversation', 'states', 'poll', 'keys-changed', 'sms', 'details', 'settings-devices', 'welcome']
const VIEWS = [
  { width: 390, height: 844, theme: 'light' },
  { width: 900, height: 800, theme: 'dark' },
  { width: 1680, height: 1000, theme: 'light' },
  { width: 1280, height: 800, theme: 'dark', locale: 'ar' },
  { width: 390, height: 844, theme: 'dark', locale: 'de' },
]
/** Part of the pixels that may differ: shades of letters, not letters. */
const TOLERANCE = 0.004
/** The pictures were taken with these letters; with others, every word is a little elsewhere. */
const FONT = 'NotoSans-Regular.ttf'

let server
let browser
before(async () => {
  server = await serve(join(import.meta.dirname, '../dist-fake'))
  browser = await launch()
})
after(async () => {
  await browser.close()
  server.close()
})

/** What is wrong with a screen, in words. */
async function findings(page) {
  await page.evaluate(AXE)
  const violations = await page.evaluate(async () => {
    const run = globalThis.axe.run(document, { resultTypes: ['violations'] })
    return (await run).violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary ?? ''}`).join(' | ')}`)
  })
  const sideways = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth || document.body.scrollWidth > innerWidth)
  if (sideways) violations.push('the page scrolls sideways')
  // The catalogue's marks and its holes are never shown.
  const raw = await page.evaluate(() => document.body.innerText.match(/\{[a-z_]+\}|undefined|\[object|NaN|\*\*[^*]{2,40}\*\*\s/g))
  if (raw) violations.push(`raw text: ${raw}`)
  return violations
}

for (const view of VIEWS) {
  const title = `${view.width} ${view.theme} ${view.locale ?? 'en'}`
  describe(title, { concurrency: 2 }, () => {
    for (const one of SCREENS) {
      it(`${one.name} has no findings`, async () => {
        const problems = []
        const { context, page } = await show(browser, server.url, one, view)
        watch(page, server.url, problems)
        await page.clock.runFor(1000)
        try {
          assert.deepEqual([...(await findings(page)), ...problems], [])
        } finally {
          await context.close()
        }
      })
    }
  })
}

describe('pictures', () => {
  const font = spawnSync('fc-match', ['system-ui'], { encoding: 'utf8' }).stdout ?? ''
  const skip = font.startsWith(FONT) ? false : `the system's font is ${font.trim() || 'not known'}, and the pictures have ${FONT}`
  for (const view of [VIEWS[0], { width: 1280, height: 800, theme: 'light' }, VIEWS[3]]) {
    for (const name of MAIN) {
      const file = `${name}-${view.width}-${view.theme}${view.locale ? `-${view.locale}` : ''}.png`
      it(file, { skip }, async () => {
        const { context, page } = await show(browser, server.url, screen(name), view)
        await page.clock.runFor(1200)
        await page.mouse.move(1, 1)
        // The bubble that says that somebody types never stands still.
        const seen = await page.screenshot({ animations: 'disabled', caret: 'hide' })
        await context.close()
        const path = join(PICTURES, file)
        const differs = existsSync(path) ? difference(readFileSync(path), seen, file) : 1
        if (differs <= TOLERANCE) return
        if (process.env.UPDATE) {
          mkdirSync(PICTURES, { recursive: true })
          writeFileSync(path, seen)
        } else {
          assert.fail(`${(differs * 100).toFixed(2)} % of ${file} is not as it was; see ${tmpdir()}/waxwing-differences, and UPDATE=1 takes a new one`)
        }
      })
    }
  }
})

function difference(wanted, seen, file) {
  const [a, b] = [PNG.sync.read(wanted), PNG.sync.read(seen)]
  if (a.width !== b.width || a.height !== b.height) return 1
  const shown = new PNG({ width: a.width, height: a.height })
  const pixels = pixelmatch(a.data, b.data, shown.data, a.width, a.height, { threshold: 0.15 })
  const part = pixels / (a.width * a.height)
  if (part > TOLERANCE) {
    const folder = join(tmpdir(), 'waxwing-differences')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, file), PNG.sync.write(shown))
    writeFileSync(join(folder, `now-${file}`), seen)
  }
  return part
}
