// Two people, two clients, one relay, two browsers: from the first run to an answered message.
//
// Run: WAXWING=…/waxwing WAXWING_RELAY=…/waxwing-relay node e2e/smoke.mjs [folder for screenshots]
// Always: no request of a page leaves its own origin.

import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const { WAXWING, WAXWING_RELAY, CHROMIUM = '/usr/bin/chromium' } = process.env
if (!WAXWING || !WAXWING_RELAY) throw new Error('WAXWING and WAXWING_RELAY name the programs')
const shots = process.argv[2]
const folder = mkdtempSync(join(tmpdir(), 'waxwing-page-'))
const children = []
const PATIENCE_MS = 60_000

function start(program, args, env = {}) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
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
  throw new Error(`waited in vain for ${what}\n${children.map((child) => child.text).join('\n---\n')}`)
}

function codeFor(address, mails) {
  for (const file of readdirSync(mails)) {
    const mail = readFileSync(join(mails, file), 'utf8')
    if (!mail.includes(address)) continue
    const code = /\b(\d{4})[ -]?(\d{4})\b/.exec(mail.split(/\r?\n\r?\n/).slice(1).join('\n'))
    if (code) return code[1] + code[2]
  }
  return undefined
}

async function open(browser, name) {
  const app = start(WAXWING, ['--home', join(folder, name), '--key-store', 'file', '--json', 'app', '--no-open'])
  const url = await until(`the address of ${name}'s app`, () => /"url":\s*"([^"]+)"/.exec(app.text)?.[1])
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB' })
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE_MS)
  page.on('pageerror', (error) => problems.push(`${name}: ${error.message}`))
  page.on('console', (message) => message.type() === 'error' && problems.push(`${name}: ${message.text()}`))
  page.on('request', (request) => {
    if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).origin !== new URL(url).origin) {
      problems.push(`${name} asked ${request.url()}`)
    }
  })
  const began = Date.now()
  await page.goto(url)
  await page.getByText('Get started').waitFor()
  console.log(`${name}: first screen after ${Date.now() - began} ms`)
  if (page.url().includes(url.split('#')[1])) problems.push('the token stays in the address')
  return page
}

async function register(page, name, relay, mails) {
  const address = `${name}@example.org`
  await page.getByText('Get started').click()
  await page.getByLabel('Relay').fill(relay)
  await page.getByLabel('Your address').fill(address)
  await page.getByRole('button', { name: 'Next' }).click()
  const field = page.getByLabel('Code, 8 digits')
  await field.waitFor()
  const code = await until(`${name}'s code`, () => codeFor(address, mails))
  await field.pressSequentially(code)
  await page.getByLabel('Name').fill(name === 'alice' ? 'Alice Berg' : 'Bob Ek')
  await page.getByRole('button', { name: 'Next' }).click()
  await page.getByText('Write these words down').waitFor()
  const words = await page.locator('ol li').allInnerTexts()
  await page.getByText('I wrote them down').click()
  for (const label of await page.locator('form label .label').allInnerTexts()) {
    const place = Number(/\d+/.exec(label)[0])
    await page.getByLabel(label, { exact: true }).fill(words[place - 1].replace(/^\d+\s*/, '').trim())
  }
  await page.getByRole('button', { name: 'Done' }).click()
  await page.getByText('You’re in.').waitFor()
  console.log(`${name} is registered`)
}

async function shot(page, name) {
  if (shots) await page.screenshot({ path: join(shots, `${name}.png`) })
}

const problems = []
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
try {
  const mails = mkdtempSync(join(folder, 'mails-'))
  const server = start(WAXWING_RELAY, ['serve', '--listen', '127.0.0.1:0', '--data', join(folder, 'relay'), '--mail-dir', mails])
  const relay = await until('the relay', () => /listening (\S+)/.exec(server.text)?.[1])
  const [alice, bob] = await Promise.all([open(browser, 'alice'), open(browser, 'bob')])
  await register(alice, 'alice', relay, mails)
  await register(bob, 'bob', relay, mails)

  await alice.getByText('Write a message').click()
  await alice.getByPlaceholder('Name, e-mail address or phone number').fill('bob@example.org')
  await alice.keyboard.press('Enter')
  await alice.getByLabel('Message', { exact: true }).fill('Hello Bob, **this** is Alice')
  await alice.keyboard.press('Enter')
  await alice.getByRole('log').getByText('is Alice').waitFor()
  await shot(alice, 'alice-first')

  await bob.getByText('Copy my address').click()
  await bob.getByText('Message requests').click()
  await bob.getByRole('option').first().click()
  await bob.getByRole('log').getByText('is Alice').waitFor()
  await shot(bob, 'bob-request')
  await bob.getByRole('button', { name: 'Accept' }).click()
  const field = bob.getByRole('textbox', { name: /^Message/ })
  await field.fill('Hello Alice. Window seat?')
  const began = Date.now()
  await field.press('Enter')
  await bob.getByRole('log').getByText('Window seat?').waitFor()
  console.log(`typing to bubble: ${Date.now() - began} ms, as seen from outside`)
  await alice.getByRole('log').getByText('Window seat?').waitFor()

  // A picture: sealed, sent, fetched, shown.
  const picture = join(folder, 'lake.png')
  writeFileSync(picture, Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAIAAAACUFjqAAAAEklEQVR4nGP4z8CAB+GTG8HSALfKY52fTcuYAAAAAElFTkSuQmCC', 'base64'))
  await bob.locator('input[type=file]').first().setInputFiles(picture)
  await bob.locator('.tray img').waitFor()
  await bob.getByRole('button', { name: 'Send', exact: true }).click()
  await until('the picture', () =>
    alice.evaluate(() => [...document.querySelectorAll('.pictures img')].some((image) => image.complete && image.naturalWidth === 10)),
  )
  console.log('a picture arrived')

  // React, reply, reload.
  await alice.getByRole('article').filter({ hasText: 'Window seat?' }).hover()
  await alice.getByRole('button', { name: 'React with 👍' }).click()
  await bob.getByRole('button', { name: /👍 by/ }).waitFor()
  await alice.reload()
  await alice.getByRole('log').getByText('Window seat?').waitFor()
  await alice.getByRole('textbox', { name: /^Message/ }).fill('Window seat, always')
  await alice.keyboard.press('Enter')
  await bob.getByRole('log').getByText('Window seat, always').waitFor()
  await alice.getByText('Read', { exact: true }).waitFor()
  await shot(alice, 'alice-conversation')
  await shot(bob, 'bob-conversation')
} finally {
  await browser.close()
  for (const child of children) child.kill('SIGTERM')
  rmSync(folder, { recursive: true, force: true })
}
if (problems.length > 0) throw new Error(problems.join('\n'))
console.log('all is well')
