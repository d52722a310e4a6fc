// Pictures of screens, to look at: node e2e/shots.mjs FOLDER [WIDTHxHEIGHT] [light|dark] [LOCALE] [SCREEN...]
//
// Needs `npm run build:fake` first.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { SCREENS, show } from './look.mjs'
import { launch, serve } from './stage.mjs'

const [folder = 'shots', size = '1280x800', theme = 'light', locale = 'en-GB', ...names] = process.argv.slice(2)
const [width, height] = size.split('x').map(Number)
mkdirSync(folder, { recursive: true })
const server = await serve(join(import.meta.dirname, '../dist-fake'))
const browser = await launch()
for (const one of SCREENS) {
  if (names.length > 0 && !names.includes(one.name)) continue
  try {
    const { context, page } = await show(browser, server.url, one, { width, height, theme, locale }, join(folder, `${one.name}-failed.png`))
    await page.clock.runFor(1200)
    await page.waitForTimeout(250)
    await page.screenshot({ path: join(folder, `${one.name}.png`) })
    await context.close()
  } catch (error) {
    console.log(`${one.name}: ${String(error).split('\n')[0]}`)
  }
}
await browser.close()
server.close()
