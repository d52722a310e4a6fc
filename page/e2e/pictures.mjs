// The pictures of README: real clients talk through a real relay, and the app shows it.
//
// Run: WAXWING=…/waxwing WAXWING_RELAY=…/waxwing-relay node e2e/pictures.mjs ../docs/pictures
// Elsewhere: smoke.mjs tests the app; this only looks at it.

import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const { WAXWING, WAXWING_RELAY, CHROMIUM = '/usr/bin/chromium' } = process.env
if (!WAXWING || !WAXWING_RELAY) throw new Error('WAXWING and WAXWING_RELAY name the programs')
const pictures = process.argv[2] ?? 'pictures'
mkdirSync(pictures, { recursive: true })
const folder = mkdtempSync(join(tmpdir(), 'waxwing-pictures-'))
const mails = mkdtempSync(join(folder, 'mails-'))
const children = []
const PATIENCE_MS = 60_000
const PEOPLE = { mira: 'Mira Lund', noor: 'Noor Haddad', jonas: 'Jonas Aalto', priya: 'Priya Raman' }

function start(args) {
  const child = spawn(args[0], args.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  child.text = ''
  child.stdout.on('data', (data) => (child.text += data))
  child.stderr.on('data', (data) => (child.text += data))
  return child
}

async function until(what, found) {
  const deadline = Date.now() + PATIENCE_MS
  while (Date.now() < deadline) {
    const value = await found()
    if (value) return value
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`waited in vain for ${what}`)
}

function waxwing(person, ...args) {
  const run = spawnSync(WAXWING, ['--home', join(folder, person), '--key-store', 'file', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PATIENCE_MS,
  })
  if (run.status !== 0) throw new Error(`waxwing ${args.join(' ')}: ${run.stdout}${run.stderr}`)
  return run.stdout
}

const address = (person) => `${person}@example.org`

function codeFor(person) {
  for (const file of readdirSync(mails)) {
    const mail = readFileSync(join(mails, file), 'utf8')
    if (!mail.includes(address(person))) continue
    const code = /\b(\d{4})[ -]?(\d{4})\b/.exec(mail.split(/\r?\n\r?\n/).slice(1).join('\n'))
    if (code) return code[1] + code[2]
  }
  return undefined
}

async function register(person, relay) {
  const options = [address(person), '--relay', relay, '--name', PEOPLE[person]]
  // Without a terminal it stops once the code was sent.
  spawnSync(WAXWING, ['--home', join(folder, person), '--key-store', 'file', 'register', ...options], { stdio: 'ignore' })
  const code = await until(`${person}'s code`, () => codeFor(person))
  waxwing(person, 'register', ...options, '--code', code)
  waxwing(person, 'profile', '--name', PEOPLE[person])
}

const aMoment = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
try {
  const server = start([WAXWING_RELAY, 'serve', '--listen', '127.0.0.1:0', '--data', join(folder, 'relay'), '--mail-dir', mails])
  const relay = await until('the relay', () => /listening (\S+)/.exec(server.text)?.[1])
  for (const person of Object.keys(PEOPLE)) await register(person, relay)
  for (const person of ['noor', 'jonas', 'priya']) {
    start([WAXWING, '--home', join(folder, person), '--key-store', 'file', 'listen'])
  }
  const app = start([WAXWING, '--home', join(folder, 'mira'), '--key-store', 'file', '--json', 'app', '--no-open'])
  const url = await until('the app', () => /"url":\s*"([^"]+)"/.exec(app.text)?.[1])
  const say = async (person, to, text) => {
    waxwing(person, 'send', to, text)
    await aMoment(1_500)
  }
  await say('mira', address('noor'), 'Are you coming to Kuusamo on Friday?')
  await say('noor', address('mira'), 'Yes! I have a window seat on the night train.')
  await say('mira', address('noor'), 'Window seat, always. See you at the station.')
  await say('jonas', address('mira'), 'Do you still have the spare key?')
  await say('mira', address('jonas'), 'It hangs behind the door.')
  waxwing('mira', 'group', 'create', 'Kuusamo cabin', address('noor'), address('jonas'))
  await aMoment(5_000)
  await say('jonas', 'Kuusamo cabin', 'The lake this morning: minus nine, and not a cloud.')
  await say('noor', 'Kuusamo cabin', 'Keep the sauna warm until Friday, please')
  await say('mira', 'Kuusamo cabin', 'There is a stove, two sleds and a shelf full of books. Bring wool socks.')
  await say('jonas', 'Kuusamo cabin', 'Who brings the coffee?')
  await say('priya', address('mira'), 'Hello Mira, this is Priya from the book club.')

  for (const theme of ['light', 'dark']) {
    const context = await browser.newContext({
      viewport: { width: 1280, height: 760 },
      colorScheme: theme,
      deviceScaleFactor: 2,
      locale: 'en-GB',
    })
    const page = await context.newPage()
    page.setDefaultTimeout(PATIENCE_MS)
    if (theme === 'light') {
      await page.goto(url)
    } else {
      const again = start([WAXWING, '--home', join(folder, 'mira'), '--key-store', 'file', '--json', 'app', '--no-open'])
      await page.goto(await until('the app again', () => /"url":\s*"([^"]+)"/.exec(again.text)?.[1]))
    }
    await page.getByRole('option').filter({ hasText: 'Kuusamo cabin' }).first().click()
    await page.getByRole('log').getByText('Who brings the coffee?').waitFor()
    await page.waitForTimeout(500)
    await page.screenshot({ path: join(pictures, `app-${theme}.png`) })
    await context.close()
  }
} finally {
  await browser.close()
  for (const child of children) child.kill('SIGTERM')
  rmSync(folder, { recursive: true, force: true })
}
