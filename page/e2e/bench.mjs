// What the page costs: bundle, start, first message, scrolling, memory; one JSON object a line.
//
// Run: `cargo xtask bench page`, or WAXWING=… WAXWING_RELAY=… node e2e/bench.mjs [--messages N].
// Always: real programs and a real store; frames are the browser's own, from its trace. There is no
// graphics processor behind a headless browser, so frames are drawn by the processor that scrolls.

import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { Stage, until, WAXWING } from './stage.mjs'

const at = process.argv.indexOf('--messages')
const MESSAGES = at > 0 ? Number(process.argv[at + 1]) : 100_000
const SAY = (scenario, figures) => console.log(JSON.stringify({ system: 'waxwing', scenario, ...figures }))
const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))] ?? 0
const round = (n, digits = 1) => Number(n.toFixed(digits))

/** Scripts and styles of the first screen: what `index.html` names, and what that imports at once. */
function bundle(folder) {
  const html = readFileSync(join(folder, 'index.html'), 'utf8')
  const seen = new Set()
  const sizes = { script: 0, style: 0 }
  const take = (name) => {
    if (seen.has(name)) return
    seen.add(name)
    const source = readFileSync(join(folder, name))
    sizes[name.endsWith('.css') ? 'style' : 'script'] += gzipSync(source, { level: 9 }).length
    if (name.endsWith('.js')) {
      for (const [, other] of source.toString().matchAll(/(?:from|import)\s*["']\.\/([^"']+)["']/g)) take(`assets/${other}`)
    }
  }
  for (const [, name] of html.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)) take(name)
  const all = readdirSync(join(folder, 'assets')).reduce((sum, name) => sum + gzipSync(readFileSync(join(folder, 'assets', name)), { level: 9 }).length, 0)
  return { first_script_kib: round(sizes.script / 1024), first_style_kib: round(sizes.style / 1024), everything_kib: round(all / 1024) }
}

/** A file as `waxwing export` writes it, with many messages of mixed lengths. */
function history(path, address) {
  const words = 'the lake froze over night and somebody left the stove open so we carried wood until it was warm again'.split(' ')
  const start = Date.now() - MESSAGES * 240_000
  const lines = []
  for (let n = 0; n < MESSAGES; n++) {
    const own = n % 3 === 0
    const length = 1 + ((n * 7919) % 53)
    const text = `${n}: ${Array.from({ length }, (_, w) => words[(n + w) % words.length]).join(' ')}`
    lines.push(
      JSON.stringify({
        type: 'message',
        id: `01${n.toString(16).padStart(62, '0')}`,
        conversation: '0'.repeat(32),
        from: own ? address : 'bob@example.org',
        from_verified: false,
        text,
        sent_at: new Date(start + n * 240_000).toISOString(),
        channel: 'waxwing',
        direction: own ? 'out' : 'in',
        read: true,
      }),
    )
  }
  const head = { format: 'waxwing-conversation', version: 1, exported_at: new Date().toISOString(), account: address, kind: 'direct', with: 'bob@example.org', id: '0'.repeat(32) }
  writeFileSync(path, `${JSON.stringify(head).slice(0, -1)},"entries":[\n${lines.join(',\n')}\n]}\n`)
}

const stage = await Stage.open()
try {
  const dist = join(import.meta.dirname, '../dist')
  SAY('page bundle', bundle(dist))

  const alice = await stage.person('alice')
  const bob = await stage.person('bob')
  await Promise.all([alice.register(), bob.register()])
  await alice.writeTo(bob.address, 'Hello Bob')
  await bob.accept('Hello Bob')
  await alice.context.close()
  await alice.kill()
  const file = join(stage.folder, 'history.json')
  history(file, alice.address)
  const began = Date.now()
  execFileSync(WAXWING, ['--home', join(stage.folder, 'alice'), '--key-store', 'file', 'import', file], { stdio: 'ignore' })
  console.error(`imported ${MESSAGES} messages in ${Math.round((Date.now() - began) / 1000)} s`)

  // Start: five times, the first one with a cold process.
  const starts = []
  for (let run = 0; run < 5; run++) {
    await alice.startApp()
    const page = await alice.openPage()
    await alice.log.getByRole('article').first().waitFor()
    await alice.field.waitFor()
    starts.push(
      await page.evaluate(() => {
        const paint = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0
        return { paint, usable: performance.getEntriesByName('usable')[0]?.startTime ?? performance.now() }
      }),
    )
    if (run < 4) {
      await alice.context.close()
      await alice.kill()
    }
  }
  SAY('page start', {
    messages: MESSAGES,
    first_paint_ms: round(quantile(starts.map((one) => one.paint), 0.5)),
    usable_ms: round(quantile(starts.map((one) => one.usable), 0.5)),
  })

  // From the key to the bubble on the screen, thirty times.
  const { page } = alice
  const typed = []
  for (let n = 0; n < 30; n++) {
    await alice.field.fill(`Message ${n}, to see how long it takes`)
    typed.push(
      await page.evaluate(
        (text) =>
          new Promise((resolve) => {
            const start = performance.now()
            const look = () => {
              const shown = [...document.querySelectorAll('[role=log] article')].some((article) => article.textContent.includes(text))
              if (shown) resolve(performance.now() - start)
              else requestAnimationFrame(look)
            }
            document.querySelector('textarea').dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }))
            requestAnimationFrame(look)
          }),
        `Message ${n},`,
      ),
    )
  }
  SAY('page first message', { first_ms: round(typed[0]), p50_ms: round(quantile(typed, 0.5)), p99_ms: round(quantile(typed, 0.99)) })

  // Up through the history with a wheel, while the browser keeps its trace.
  const session = await alice.context.newCDPSession(page)
  await session.send('Performance.enable')
  const memory = async () => {
    await session.send('HeapProfiler.collectGarbage')
    const { metrics } = await session.send('Performance.getMetrics')
    const of = (name) => metrics.find((metric) => metric.name === name)?.value ?? 0
    return { heap_mib: round(of('JSHeapUsedSize') / 2 ** 20), nodes: of('Nodes') }
  }
  const before = await memory()
  const box = await page.getByRole('log').boundingBox()
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2)
  const browser = stage.browser
  await browser.startTracing(page, { categories: ['devtools.timeline', 'disabled-by-default-devtools.timeline', 'disabled-by-default-devtools.timeline.frame'] })
  const scrollEnd = Date.now() + 12_000
  let ticks = 0
  while (Date.now() < scrollEnd) {
    await page.mouse.wheel(0, -320)
    ticks++
    await page.waitForTimeout(16)
  }
  const trace = JSON.parse((await browser.stopTracing()).toString()).traceEvents
  const drawn = trace.filter((event) => event.name === 'DrawFrame').map((event) => event.ts / 1000).sort((a, b) => a - b)
  const gaps = drawn.slice(1).map((ts, n) => ts - drawn[n])
  const dropped = trace.filter((event) => event.name === 'DroppedFrame').length
  const tasks = trace.filter((event) => event.name === 'RunTask' && event.dur).map((event) => event.dur / 1000)
  SAY('page scroll', {
    messages: MESSAGES,
    seconds: 12,
    wheel_ticks: ticks,
    frames: drawn.length,
    frame_ms: { p50: round(quantile(gaps, 0.5)), p95: round(quantile(gaps, 0.95)), p99: round(quantile(gaps, 0.99)) },
    dropped,
    tasks_over_50_ms: tasks.filter((ms) => ms > 50).length,
  })

  // As far as an hour of reading goes: page after page, and the memory at the end.
  const target = Number(process.env.PAGES ?? 400)
  for (let n = 0; n < target; n++) {
    await page.mouse.wheel(0, -6000)
    await page.waitForTimeout(20)
  }
  const oldest = await until('the oldest message', () => page.evaluate(() => document.querySelector('[role=log] article')?.textContent?.slice(0, 20)))
  const end = await memory()
  SAY('page memory', { before, after_scrolling: end, reached: oldest.trim() })
} finally {
  await stage.close()
}
