// What the tests in a browser share: a relay, clients, browsers, and what must never happen.
//
// Programs: WAXWING and WAXWING_RELAY name them; CHROMIUM the browser. A debug build of waxwing reads
// the page from where it was built, so what `npm run build` wrote last is tested.
// Always: no request of a page leaves its own origin, and no page reports an error.

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'
import { chromium } from 'playwright-core'

export const { WAXWING, WAXWING_RELAY, CHROMIUM = '/usr/bin/chromium' } = process.env
export const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 30_000)

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' }

/** The policy that the client sends with its page. */
export function policy(host) {
  return (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; " +
    `font-src 'self'; connect-src 'self' ws://${host}; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; ` +
    "require-trusted-types-for 'script'; trusted-types svelte-trusted-html"
  )
}

function fileOf(folder, path) {
  const file = join(folder, normalize(path === '/' ? '/index.html' : path))
  return file.startsWith(folder) && existsSync(file) ? { body: readFileSync(file), type: TYPES[extname(file)] ?? 'application/octet-stream' } : undefined
}

/** Serves a built page, for screens that need no engine. */
export async function serve(folder) {
  const server = createServer((request, response) => {
    const found = fileOf(folder, new URL(request.url ?? '/', 'http://page').pathname)
    if (!found) return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': found.type, 'content-security-policy': policy(request.headers.host) }).end(found.body)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() }
}

export function launch(args = []) {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', '--font-render-hinting=none', ...args],
  })
}

/** Collects what must not happen in a page. */
export function watch(page, origin, problems, allowed = []) {
  page.setDefaultTimeout(PATIENCE_MS)
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`))
  page.on('console', (message) => {
    if (message.type() !== 'error' || allowed.some((pattern) => pattern.test(message.text()))) return
    problems.push(`console: ${message.text()}`)
  })
  page.on('request', (request) => {
    if (/^(data|blob):/.test(request.url())) return
    if (new URL(request.url()).origin !== origin) problems.push(`left the machine: ${request.url()}`)
  })
}

export async function until(what, found, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience
  while (Date.now() < deadline) {
    const value = await found()
    if (value) return value
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`waited in vain for ${typeof what === 'function' ? what() : what}`)
}

export class Stage {
  folder = mkdtempSync(join(tmpdir(), 'waxwing-page-'))
  mails = mkdtempSync(join(this.folder, 'mails-'))
  problems = []
  children = []

  static async open() {
    if (!WAXWING || !WAXWING_RELAY) throw new Error('WAXWING and WAXWING_RELAY name the programs')
    const stage = new Stage()
    stage.browser = await launch()
    await stage.startRelay('127.0.0.1:0')
    return stage
  }

  start(program, args, env = {}) {
    const child = spawn(program, args, { env: { ...process.env, HOME: this.folder, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    this.children.push(child)
    child.text = ''
    child.ended = new Promise((resolve) => child.on('exit', resolve))
    child.stdout.on('data', (data) => (child.text += data))
    child.stderr.on('data', (data) => (child.text += data))
    return child
  }

  /** The relay keeps its data and its key, so it can be stopped and started again. */
  async startRelay(listen = this.listen) {
    this.relayProgram = this.start(WAXWING_RELAY, ['serve', '--listen', listen, '--data', join(this.folder, 'relay'), '--mail-dir', this.mails])
    this.relay = await until('the relay', () => /listening (\S+)/.exec(this.relayProgram.text)?.[1])
    this.listen = new URL(this.relay).host
  }

  async stopRelay() {
    this.relayProgram.kill('SIGKILL')
    await this.relayProgram.ended
  }

  /** Runs a command of a client that no page drives. */
  waxwing(name, ...args) {
    const run = spawnSync(WAXWING, ['--home', join(this.folder, name), '--key-store', 'file', ...args], {
      encoding: 'utf8',
      env: { ...process.env, HOME: this.folder },
      timeout: PATIENCE_MS,
    })
    if (run.status !== 0) throw new Error(`waxwing ${args.join(' ')}: ${run.stdout}${run.stderr}`)
    return run.stdout
  }

  codeFor(address) {
    const found = []
    for (const file of readdirSync(this.mails).sort()) {
      const mail = readFileSync(join(this.mails, file), 'utf8')
      if (!mail.includes(address)) continue
      const code = /\b(\d{4})[ -]?(\d{4})\b/.exec(mail.split(/\r?\n\r?\n/).slice(1).join('\n'))
      if (code) found.push(code[1] + code[2])
    }
    return found.at(-1)
  }

  /** Starts `waxwing app` in a home of its own, and opens its page. */
  async person(name, options = {}) {
    const person = new Person(this, name, options)
    await person.startApp()
    await person.openPage()
    return person
  }

  async close() {
    await this.browser.close()
    for (const child of this.children) child.kill('SIGTERM')
    await Promise.all(this.children.map((child) => Promise.race([child.ended, new Promise((resolve) => setTimeout(resolve, 3000))])))
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export class Person {
  constructor(stage, name, { browser, width = 1280, height = 800, theme = 'light', locale = 'en-GB', touch = false, home = name } = {}) {
    Object.assign(this, { stage, name, home, options: { width, height, theme, locale, touch }, ownBrowser: browser })
    this.address = `${name}@example.org`
  }

  async startApp() {
    this.app = this.stage.start(WAXWING, ['--home', join(this.stage.folder, this.home), '--key-store', 'file', '--json', 'app', '--no-open'])
    this.url = await until(() => `the address of ${this.name}'s app: ${this.app.text}`, () => /"url":\s*"([^"]+)"/.exec(this.app.text)?.[1])
  }

  /** Ends the client as a crash would. */
  async kill() {
    this.app.kill('SIGKILL')
    await this.app.ended
  }

  async openPage(allowed = [/WebSocket connection/, /Failed to load resource/, /ERR_CONNECTION_REFUSED/]) {
    const { width, height, theme, locale, touch } = this.options
    const browser = this.ownBrowser ?? this.stage.browser
    this.context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, locale, hasTouch: touch, permissions: ['clipboard-read', 'clipboard-write', 'notifications'] })
    const page = await this.context.newPage()
    const { origin } = new URL(this.url)
    watch(page, origin, this.stage.problems, allowed)
    await page.goto(this.url)
    this.page = page
    return page
  }

  /** The first run, with the mouse. */
  async register() {
    const { page, stage, address } = this
    await page.getByText('Get started').click()
    await page.getByLabel('Relay').fill(stage.relay)
    await page.getByLabel('Your address').fill(address)
    await page.getByRole('button', { name: 'Next' }).click()
    const field = page.getByLabel('Code, 8 digits')
    await field.waitFor()
    await field.pressSequentially(await until(`${this.name}'s code`, () => stage.codeFor(address)))
    await page.getByLabel('Name').fill(this.fullName)
    await page.getByRole('button', { name: 'Next' }).click()
    await page.getByText('Write these words down').waitFor()
    this.words = (await page.locator('ol li').allInnerTexts()).map((word) => word.replace(/^\d+\s*/, '').trim())
    await page.getByText('I wrote them down').click()
    for (const label of await page.locator('form label .label').allInnerTexts()) {
      const place = Number(/\d+/.exec(label)[0])
      await page.getByLabel(label, { exact: true }).fill(this.words[place - 1])
    }
    await page.getByRole('button', { name: 'Done' }).click()
    await page.getByText('You’re in.').waitFor()
    await page.getByText('Copy my address').click()
    await page.getByRole('listbox', { name: 'Conversations' }).waitFor({ state: 'attached' })
  }

  get fullName() {
    return { alice: 'Alice Berg', bob: 'Bob Ek', carol: 'Carol Dahl' }[this.name] ?? this.name
  }

  get log() {
    return this.page.getByRole('log')
  }

  get field() {
    return this.page.getByRole('textbox', { name: /^Message / })
  }

  message(text) {
    return this.log.getByRole('article').filter({ hasText: text })
  }

  async say(text) {
    await this.field.fill(text)
    await this.field.press('Enter')
    await this.message(text).last().waitFor()
  }

  /** Begins a conversation. */
  async writeTo(address, text) {
    const { page } = this
    await page.getByRole('button', { name: 'New message' }).first().click()
    await page.getByPlaceholder('Name, e-mail address or phone number').fill(address)
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').getByLabel('Message', { exact: true }).fill(text)
    await page.keyboard.press('Enter')
    await this.message(text).waitFor()
  }

  async accept(text) {
    const { page } = this
    await page.getByText('Message requests').click()
    await page.getByRole('option').first().click()
    await this.message(text).waitFor()
    await page.getByRole('button', { name: 'Accept' }).click()
    await this.field.waitFor()
  }

  open(name) {
    return this.page.getByRole('option').filter({ hasText: name }).first().click()
  }

  /** Opens the details, unless they are open. */
  async details() {
    const button = this.page.getByRole('button', { name: 'Details' })
    if ((await button.getAttribute('aria-pressed')) !== 'true') await button.click()
    await this.page.locator('aside h3').waitFor()
  }

  async act(text, action) {
    // The first one: a later one may quote it.
    const message = this.message(text).first()
    await message.hover()
    await message.getByRole('button', { name: 'More' }).click()
    const menu = await this.page.getByRole('menu').boundingBox()
    const { width, height } = this.page.viewportSize()
    if (menu.x < 0 || menu.y < 0 || menu.x + menu.width > width || menu.y + menu.height > height) throw new Error('the menu is cut off')
    await this.page.getByRole('menuitem', { name: action }).click()
  }
}
