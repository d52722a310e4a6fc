// Two people, two clients, one relay: what people do with the app, in the order in which they would.
//
// Run: WAXWING=…/waxwing WAXWING_RELAY=…/waxwing-relay node --test e2e/flows.test.mjs
// Elsewhere: `stage.mjs` has the relay, the clients and the pages; screens without an engine are in
// `screens.test.mjs`.
// Always: each step begins where the one before it ended, so a failure stops the rest.

import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { PNG } from 'pngjs'
import { launch, Stage, until } from './stage.mjs'

const shots = process.env.SHOTS
let stage
let alice
let bob
let failed = false

/** A picture of flat colours, larger than any preview. */
function picture(width, height) {
  const png = new PNG({ width, height })
  for (let at = 0; at < png.data.length; at += 4) png.data.set([120 + (at % 97), 90, (at >> 10) % 200, 255], at)
  return PNG.sync.write(png)
}

/** A step of the story. */
function step(name, run) {
  it(name, async (test) => {
    if (failed && !process.env.KEEP_GOING) return test.skip('a step before this failed')
    try {
      await run()
    } catch (error) {
      failed = true
      if (shots) mkdirSync(shots, { recursive: true })
      for (const person of [alice, bob]) {
        const file = `failed-${name.slice(0, 24).replaceAll(/\W/g, '-')}-${person?.name}.png`
        await person?.page?.screenshot({ path: join(shots ?? stage.folder, file), timeout: 5000 }).catch(() => undefined)
      }
      throw error
    }
  })
}

async function shot(person, name) {
  if (!shots) return
  mkdirSync(shots, { recursive: true })
  await person.page.screenshot({ path: join(shots, `${name}.png`) })
}

describe('the app', () => {
  before(async () => {
    stage = await Stage.open()
    ;[alice, bob] = await Promise.all([stage.person('alice'), stage.person('bob')])
  })
  after(async () => {
    await stage.close()
  })

  step('the token does not stay in the address', () => {
    assert.equal(new URL(alice.page.url()).hash, '')
  })

  step('with the keyboard only, from the first run to a message', async () => {
    await bob.register()
    const { keyboard } = alice.page
    const focused = () => alice.page.evaluate(() => document.activeElement?.textContent?.trim() || document.activeElement?.getAttribute('aria-label') || document.activeElement?.tagName)
    /** Tab until the focus is on what has this name. */
    const tabTo = async (name) => {
      for (let n = 0; n < 40; n++) {
        if ((await focused()) === name) return
        await keyboard.press('Tab')
      }
      throw new Error(`Tab does not reach “${name}”, but ${await focused()}`)
    }
    await tabTo('Get started')
    await keyboard.press('Enter')
    await alice.page.getByText('Where is your relay?').waitFor()
    await keyboard.type(stage.relay)
    await keyboard.press('Tab')
    await keyboard.type(alice.address)
    await keyboard.press('Enter')
    await alice.page.getByText('Check your mail').waitFor()
    // A wrong code first: it says so, and takes another.
    await until('a code', () => stage.codeFor(alice.address))
    await keyboard.type('00000000')
    await alice.page.getByText(/That is not the code. \d tries left./).waitFor()
    await keyboard.type(stage.codeFor(alice.address))
    await alice.page.getByText('What should friends see?').waitFor()
    await keyboard.type('Alice Berg')
    await keyboard.press('Enter')
    await alice.page.getByText('Write these words down').waitFor()
    alice.words = (await alice.page.locator('ol li').allInnerTexts()).map((word) => word.replace(/^\d+\s*/, '').trim())
    assert.equal(alice.words.length, 24)
    await tabTo('I wrote them down')
    await keyboard.press('Enter')
    await alice.page.getByText('Check three of them').waitFor()
    const labels = await alice.page.locator('form label .label').allInnerTexts()
    for (const [at, label] of labels.entries()) {
      await keyboard.type(alice.words[Number(/\d+/.exec(label)[0]) - 1])
      await keyboard.press(at < labels.length - 1 ? 'Tab' : 'Enter')
    }
    await alice.page.getByText('You’re in.').waitFor()
    await tabTo('Write a message')
    await keyboard.press('Enter')
    await alice.page.getByRole('dialog').waitFor()
    await keyboard.type('bob@example.org')
    await keyboard.press('Enter')
    await alice.page.getByRole('dialog').getByLabel('Message', { exact: true }).waitFor()
    await keyboard.type('Hello Bob, **this** is Alice')
    await keyboard.press('Enter')
    await alice.message('this is Alice').waitFor()
  })

  step('a stranger asks first, and learns nothing until then', async () => {
    const { page } = bob
    await page.getByText('Message requests').click()
    await page.getByRole('option').first().click()
    await bob.message('this is Alice').waitFor()
    await page.getByText('Let alice@example.org write to you?').waitFor()
    await shot(bob, 'request')
    await alice.log.getByText('Sent', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Accept' }).click()
    await bob.field.waitFor()
    await bob.say('Hello Alice. Window seat?')
    await alice.message('Window seat?').waitFor()
    await alice.say('Window seat, always')
    await bob.message('Window seat, always').waitFor()
    // Bob looks at it: Alice learns that it was read.
    await alice.log.getByText('Read', { exact: true }).waitFor()
  })

  step('a draft is kept, and shown in the list', async () => {
    await alice.field.fill('Not finished ye')
    await alice.page.waitForFunction(() => true)
    await alice.page.reload()
    await until('the draft', async () => (await alice.field.inputValue()) === 'Not finished ye')
    await alice.field.fill('')
  })

  step('the other one sees that somebody types', async () => {
    // It is said every few seconds while one types, and once more is no harm.
    await until('“Alice is typing”', async () => {
      await alice.field.press('x')
      await alice.page.waitForTimeout(500)
      return (await bob.page.getByText('Alice is typing…').count()) > 0
    })
    await alice.field.fill('')
  })

  step('marks are shown while one writes, and are sent as format', async () => {
    await alice.field.fill('Bring **wool** `socks`')
    await alice.page.locator('.live .strong', { hasText: 'wool' }).waitFor()
    await alice.field.press('Enter')
    await bob.message('Bring wool socks').locator('code', { hasText: 'socks' }).waitFor()
    await alice.field.fill('plain')
    await alice.field.selectText()
    await alice.page.keyboard.press('Control+b')
    assert.equal(await alice.field.inputValue(), '**plain**')
    await alice.field.fill('')
  })

  step('edit, react, reply, star, take back', async () => {
    await alice.say('See you at platfrom 2')
    await bob.message('platfrom').waitFor()
    await alice.field.press('ArrowUp')
    await alice.page.getByText('Others can see what it said before').waitFor()
    await alice.field.fill('See you at platform 4')
    await alice.field.press('Enter')
    await bob.message('platform 4').getByRole('button', { name: /Edited/ }).waitFor()
    await bob.message('platform 4').hover()
    await bob.message('platform 4').getByRole('button', { name: 'React with ❤️' }).click()
    await alice.message('platform 4').getByRole('button', { name: /❤️ by/ }).waitFor()
    await bob.message('platform 4').hover()
    await bob.message('platform 4').getByRole('button', { name: 'Reply', exact: true }).click()
    await bob.say('I bring the thermos')
    await alice.message('I bring the thermos').getByText('See you at platform 4').waitFor()
    await alice.act('I bring the thermos', 'Star')
    await alice.page.getByRole('button', { name: 'Filter' }).click()
    await alice.page.getByRole('menuitem', { name: 'Starred' }).click()
    await alice.page.locator('.side').getByText('I bring the thermos').waitFor()
    await alice.page.getByRole('button', { name: 'Back' }).first().click()
    await alice.say('Sorry, wrong person')
    await bob.message('wrong person').waitFor()
    await alice.act('wrong person', 'Take back')
    await alice.page.getByRole('alertdialog').getByText('Others are asked to delete it').waitFor()
    await alice.page.getByRole('button', { name: 'Take back' }).click()
    await bob.log.getByText('Alice took this message back').waitFor()
    await alice.act('platform 4', 'Details')
    await alice.page.locator('aside').getByText('See you at platfrom 2').waitFor()
    await alice.page.locator('aside').getByRole('button', { name: 'Close' }).click()
  })

  step('emoji: searched, with a skin tone', async () => {
    await alice.page.getByRole('button', { name: 'Emoji' }).click()
    await alice.page.getByRole('button', { name: 'Skin tone' }).click()
    await alice.page.getByRole('textbox', { name: 'Search emoji' }).fill('waving hand')
    await alice.page.locator('.picker .one', { hasText: '👋🏻' }).click()
    await alice.page.keyboard.press('Escape')
    assert.equal(await alice.field.inputValue(), '👋🏻')
    await alice.field.press('Enter')
    await bob.message('👋🏻').waitFor()
  })

  step('pictures and files arrive, are seen, and are listed', async () => {
    const file = join(stage.folder, 'lake.png')
    writeFileSync(file, picture(640, 420))
    const text = join(stage.folder, 'agreement.txt')
    writeFileSync(text, 'The cabin is ours.\n'.repeat(2000))
    await alice.page.locator('input[type=file]').first().setInputFiles([file, text])
    await alice.page.locator('.tray img').waitFor()
    await alice.field.fill('The lake this morning')
    await alice.page.getByRole('button', { name: 'Send', exact: true }).click()
    await until('the picture', () => bob.page.evaluate(() => [...document.querySelectorAll('.pictures img')].some((image) => image.naturalWidth === 640)))
    await bob.message('The lake this morning').locator('.picture').click()
    await bob.page.locator('dialog img').waitFor()
    await bob.page.keyboard.press('Escape')
    await bob.details()
    await bob.page.locator('aside').getByRole('button', { name: 'Photos and files' }).click()
    await bob.page.locator('aside .photo img').waitFor()
    await bob.page.getByRole('button', { name: 'Files', exact: true }).click()
    await bob.page.locator('aside').getByText('agreement.txt').waitFor()
    await shot(bob, 'files')
    const [download] = await Promise.all([bob.page.waitForEvent('download'), bob.page.locator('aside').getByRole('link', { name: 'Save agreement.txt' }).click()])
    assert.equal(readFileSync(await download.path(), 'utf8').length, 38_000)
    await bob.page.locator('aside').getByRole('button', { name: 'Close' }).click()
  })

  step('a voice message is Opus in Ogg, with its length and wave', async () => {
    await alice.page.getByRole('button', { name: 'Record a voice message' }).focus()
    await alice.page.keyboard.press('Enter')
    await alice.page.getByRole('group', { name: 'Recording' }).waitFor()
    await alice.page.getByText('0:02').waitFor()
    await shot(alice, 'recording')
    await alice.page.getByRole('group', { name: 'Recording' }).getByRole('button', { name: 'Send' }).click()
    await bob.log.getByRole('slider', { name: 'Position' }).waitFor()
    const [length] = await bob.log.locator('.voice .length').allInnerTexts()
    assert.match(length, /^0:0[234]$/)
    await bob.log.getByRole('button', { name: 'Play' }).click()
    await bob.log.getByRole('button', { name: 'Pause' }).waitFor()
    await until('sound', () => bob.page.evaluate(() => document.querySelector('audio').currentTime > 0.2))
    // Discarded: nothing is sent.
    const before = await alice.log.getByRole('slider', { name: 'Position' }).count()
    await alice.page.getByRole('button', { name: 'Record a voice message' }).click()
    await alice.page.getByRole('button', { name: 'Discard' }).click()
    await alice.field.waitFor()
    assert.equal(await alice.log.getByRole('slider', { name: 'Position' }).count(), before)
  })

  step('a poll is asked, answered, changed and closed', async () => {
    await alice.page.getByRole('button', { name: 'Add to the message' }).click()
    await alice.page.getByRole('menuitem', { name: 'Ask a question' }).click()
    const dialog = alice.page.getByRole('dialog')
    await dialog.getByLabel('Question').fill('When do we leave?')
    await dialog.getByLabel('Answer 1', { exact: true }).fill('Friday')
    await dialog.getByLabel('Answer 2', { exact: true }).fill('Friday')
    await dialog.getByText('Two answers are the same.').waitFor()
    await dialog.getByLabel('Answer 2', { exact: true }).fill('Saturday')
    await dialog.getByRole('button', { name: 'Ask' }).click()
    const poll = (person) => person.log.getByRole('group', { name: 'When do we leave?' })
    await poll(bob).getByRole('radio', { name: /Saturday/ }).click()
    await poll(alice).getByText('1 person answered').waitFor()
    await poll(bob).getByRole('radio', { name: /Friday/ }).click()
    await poll(alice).getByRole('radio', { name: /Friday/ }).click()
    await poll(bob).getByText('2 people answered').waitFor()
    await poll(alice).getByRole('button', { name: 'Who chose what' }).click()
    await poll(alice).getByText('Bob Ek').waitFor()
    await shot(alice, 'poll')
    await poll(alice).getByRole('button', { name: 'Close' }).click()
    await alice.page.getByRole('alertdialog').getByRole('button', { name: 'Close' }).click()
    await poll(bob).getByText('Closed').waitFor()
    assert.equal(await poll(bob).getByRole('radio').first().isDisabled(), true)
  })

  step('safety numbers are compared with the camera', async () => {
    // Bob shows his code; Alice's camera sees what Bob's screen shows.
    await bob.details()
    await bob.page.getByRole('button', { name: 'Compare safety numbers' }).click()
    const code = bob.page.getByRole('img', { name: 'QR code with your safety number' })
    await code.waitFor()
    await bob.page.waitForTimeout(400)
    const film = join(stage.folder, 'code.y4m')
    writeFileSync(film, filmOf(PNG.sync.read(await bob.page.locator('dialog .paper').screenshot())))
    const browser = await launch([`--use-file-for-fake-video-capture=${film}`])
    const camera = await stageOf(browser)
    await alice.details()
    await camera.page.getByRole('button', { name: 'Compare safety numbers' }).click()
    await camera.page.getByRole('button', { name: 'Scan' }).click()
    await camera.page.getByText('Compared.').waitFor()
    await shot(camera, 'compared')
    await camera.page.getByRole('button', { name: 'Done' }).click()
    await camera.page.getByText('compared in person').first().waitFor()
    await browser.close()
    await bob.page.getByRole('button', { name: 'The numbers match' }).click()
    await bob.page.getByText('Compared.').waitFor()
    await bob.page.getByRole('button', { name: 'Done' }).click()
    await alice.startApp()
    await alice.openPage()
    await alice.log.waitFor()
  })

  step('why this is safe, from what is so', async () => {
    await alice.page.getByText('compared in person').first().click()
    const panel = alice.page.locator('aside')
    for (const fact of ['Only you two can read it', 'This is Bob', 'The address is proved', 'Nobody checks this relay yet', 'What this cannot do']) {
      await panel.getByText(fact).waitFor()
    }
    await alice.page.keyboard.press('Control+.')
    await panel.waitFor({ state: 'detached' })
  })

  step('search finds words, marks them, and goes to the message', async () => {
    await alice.page.keyboard.press('Control+f')
    await alice.page.getByRole('textbox', { name: 'Search messages' }).fill('thermos')
    await alice.page.locator('.found mark', { hasText: 'thermos' }).click()
    await alice.page.locator('article.flash', { hasText: 'thermos' }).waitFor()
    await until('the mark', () => alice.page.evaluate(() => (CSS.highlights.get('found')?.size ?? 0) === 1))
    await alice.page.keyboard.press('Escape')
  })

  step('a group: picture, name, people, link, poll, leaving', async () => {
    const { page } = alice
    await page.getByRole('button', { name: 'New message' }).first().click()
    await page.getByRole('button', { name: 'New group' }).click()
    await page.getByLabel('Group name').fill('Kuusamo cabin')
    const file = join(stage.folder, 'cabin.png')
    writeFileSync(file, picture(300, 300))
    await page.getByRole('dialog').locator('input[type=file]').setInputFiles(file)
    await page.getByRole('dialog').locator('.picture img').waitFor()
    await page.getByRole('checkbox', { name: /Bob Ek/ }).check()
    await page.getByRole('button', { name: 'Create' }).click()
    await page.getByRole('heading', { name: 'Kuusamo cabin', level: 1 }).waitFor()
    await alice.say('Who brings the coffee?')
    await until('the group', async () => (await bob.page.getByRole('option').filter({ hasText: 'Kuusamo cabin' }).count()) > 0 || (await bob.page.getByText('Message requests').count()) > 0)
    await bob.open('Kuusamo cabin')
    await bob.message('Who brings the coffee?').waitFor()
    await bob.field.pressSequentially('I do, @ali')
    await bob.page.getByRole('listbox', { name: 'People' }).getByRole('option').click()
    await bob.field.press('Enter')
    await alice.log.locator('.mention', { hasText: '@alice' }).waitFor()
    await alice.details()
    const panel = page.locator('aside')
    await panel.getByText('bob@example.org').waitFor()
    await panel.getByRole('button', { name: 'Rename' }).click()
    await panel.getByLabel('Group name').fill('The cabin')
    await panel.getByRole('button', { name: 'Save' }).click()
    await bob.log.getByText('named the group').waitFor()
    await until('the picture of the group', () => bob.page.evaluate(() => document.querySelector('.conversation header .avatar img') !== null))
    await panel.getByRole('button', { name: 'Invite link' }).click()
    await panel.getByRole('button', { name: 'Make a link' }).click()
    await panel.getByRole('button', { name: 'Copy link' }).waitFor()
    await panel.getByRole('button', { name: 'Revoke' }).click()
    await panel.getByRole('button', { name: 'Copy link' }).waitFor({ state: 'detached' })
    await panel.getByRole('button', { name: 'Disappearing' }).click()
    await page.getByRole('menuitemradio', { name: '1 week' }).click()
    await bob.log.getByText('set messages to disappear after 1 week').waitFor()
    await shot(alice, 'group')
    await bob.details()
    await bob.page.getByRole('button', { name: 'Leave group' }).click()
    await bob.page.getByRole('alertdialog').getByRole('button', { name: 'Leave' }).click()
    await alice.log.getByText('left').waitFor()
    await panel.getByRole('button', { name: 'Close' }).click()
    await bob.page.locator('aside').getByRole('button', { name: 'Close' }).click()
  })

  step('offline: it waits, says so, and goes when the relay is back', async () => {
    await alice.open('Bob Ek')
    await bob.open('Alice Berg')
    await stage.stopRelay()
    await alice.page.getByText('No connection to the relay. Your messages wait.').waitFor()
    await alice.say('Are you there already?')
    await alice.log.getByText('Waiting for a connection').waitFor()
    await shot(alice, 'offline')
    await stage.startRelay()
    await bob.message('Are you there already?').waitFor()
    await alice.log.getByText('Read', { exact: true }).waitFor()
    await alice.page.getByText('No connection to the relay').waitFor({ state: 'detached' })
  })

  step('a reload in the middle of sending loses nothing and sends nothing twice', async () => {
    for (let round = 0; round < 4; round++) {
      const text = `On my way, number ${round}`
      await alice.field.fill(text)
      // The key and the reload in one breath: the answer to the first has no time to come.
      await alice.page.evaluate((wait) => {
        const form = document.querySelector('form.composer')
        form.requestSubmit()
        setTimeout(() => location.reload(), wait)
      }, round * 4)
      await alice.page.waitForEvent('load')
      await alice.log.waitFor()
      await alice.message(text).first().waitFor()
      await alice.page.waitForTimeout(300)
      assert.equal(await alice.message(text).count(), 1, 'it is shown once')
      const again = alice.message(text).getByRole('button', { name: 'Try again' })
      if (await again.count()) {
        await again.click()
        await alice.field.press('Enter')
      }
      await bob.message(text).waitFor()
    }
    await bob.page.waitForTimeout(500)
    assert.equal(await bob.message('On my way').count(), 4)
  })

  step('the client ends under the page: it says so, and the message is there once after all', async () => {
    await alice.field.fill('The last words before the crash')
    await alice.page.waitForTimeout(700)
    await alice.kill()
    await alice.field.press('Enter')
    await alice.page.getByText('Waxwing stopped. Start it again.').first().waitFor()
    await alice.message('The last words before the crash').getByText(/Waiting|Not sent/).waitFor()
    await shot(alice, 'stopped')
    await alice.context.close()
    await alice.startApp()
    await alice.openPage()
    await alice.open('Bob Ek')
    // It was never sent: the draft has it.
    await until('the draft', async () => (await alice.field.inputValue()) === 'The last words before the crash')
    await alice.field.press('Enter')
    await bob.message('The last words before the crash').waitFor()
    assert.equal(await bob.message('The last words before the crash').count(), 1)
  })

  step('mute, pin, archive, with undo; the palette; the map of keys', async () => {
    const { page } = alice
    const row = page.getByRole('option').filter({ hasText: 'Bob Ek' })
    await row.click({ button: 'right' })
    await page.getByRole('menuitem', { name: 'Pin' }).click()
    await page.locator('.side').getByText('Pinned', { exact: true }).waitFor()
    await page.keyboard.press('Control+k')
    await page.keyboard.type('archi')
    await page.getByRole('option', { name: /^Archive/ }).waitFor()
    await page.keyboard.press('Escape')
    await row.click({ button: 'right' })
    await page.getByRole('menuitem', { name: 'Archive' }).click()
    await page.getByRole('button', { name: 'Undo' }).click()
    await row.waitFor()
    await row.focus()
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keyboard' }).waitFor()
    await page.keyboard.press('Escape')
  })

  step('export writes what can be read without Waxwing', async () => {
    const { page } = alice
    await alice.details()
    await page.getByRole('button', { name: 'Export this conversation' }).click()
    await page.getByRole('alertdialog').getByText('An export is not encrypted.').waitFor()
    await page.getByRole('button', { name: 'Export', exact: true }).click()
    await page.getByText(/Saved to/).first().waitFor()
    const downloads = join(stage.folder, 'Downloads')
    const [folder] = readdirSync(downloads)
    assert.equal(folder, 'Waxwing Bob Ek')
    const json = JSON.parse(readFileSync(join(downloads, folder, 'conversation.json'), 'utf8'))
    assert.ok(json.entries.some((entry) => entry.text === 'I bring the thermos'))
    assert.ok(readdirSync(join(downloads, folder, 'files')).length >= 2)
    await page.locator('aside').getByRole('button', { name: 'Close' }).click()
  })

  step('settings: every page, colours, language from right to left', async () => {
    const { page } = alice
    await page.getByRole('button', { name: 'Settings' }).click()
    for (const [name, sign] of [
      ['Devices', 'This device'],
      ['Notifications', 'Quiet hours'],
      ['Receipts and typing', 'Tell others that you read it'],
      ['Backup and recovery', 'Back up now'],
      ['Auditors', 'Nobody checks this relay yet.'],
      ['Export', 'With photos and files'],
      ['About', 'Version'],
    ]) {
      await page.getByRole('navigation').getByRole('button', { name, exact: true }).click()
      await page.locator('main').getByText(sign).first().waitFor()
    }
    await page.getByRole('navigation').getByRole('button', { name: 'Doctor' }).click()
    await page.getByRole('button', { name: 'Check everything' }).click()
    await page.locator('main .check').nth(5).waitFor()
    await page.getByRole('navigation').getByRole('button', { name: 'Language' }).click()
    await page.getByLabel('العربية').check()
    await until('right to left', () => page.evaluate(() => document.documentElement.dir === 'rtl'))
    await shot(alice, 'settings-rtl')
    await page.getByLabel('English').check()
    await page.getByRole('navigation').getByRole('button', { name: 'Appearance' }).click()
    await page.getByLabel('Dark').check()
    await until('dark', () => page.evaluate(() => document.documentElement.dataset.theme === 'dark'))
    await page.reload()
    await page.getByRole('button', { name: 'Settings' }).waitFor()
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark')
    await alice.log.waitFor()
    // Away and back: one can still write.
    await page.getByRole('button', { name: 'Settings' }).click()
    await page.getByRole('button', { name: 'Back' }).first().click()
    await alice.say('Back from the settings')
    await bob.message('Back from the settings').waitFor()
    await shot(alice, 'dark')
  })

  step('a second device is linked', async () => {
    const tablet = await stage.person('alice', { home: 'tablet' })
    await tablet.page.getByText('Link this device to my account').click()
    await tablet.page.getByLabel('Relay').fill(stage.relay)
    await tablet.page.getByLabel('What this device is called').fill('Kitchen tablet')
    await tablet.page.getByRole('button', { name: 'Next' }).click()
    const code = await tablet.page.locator('.link-code').innerText()
    const { page } = alice
    await page.getByRole('button', { name: 'Settings' }).click()
    await page.getByRole('navigation').getByRole('button', { name: 'Devices' }).click()
    await page.getByRole('button', { name: 'Link a device' }).click()
    await page.getByRole('dialog').getByLabel('Code').fill(code)
    await page.getByRole('dialog').getByRole('button', { name: 'Next' }).click()
    await page.getByText('Let “Kitchen tablet” in?').waitFor()
    await tablet.page.getByText('Both screens show').waitFor()
    const [here, there] = [await page.locator('.shown b').innerText(), await tablet.page.locator('.link-code').innerText()]
    assert.equal(here, there)
    await shot(alice, 'link')
    await page.getByRole('button', { name: 'Let it in' }).click()
    await tablet.page.getByText('You are in.').waitFor()
    await tablet.page.getByRole('button', { name: 'Done' }).click()
    await tablet.open('Bob Ek')
    await tablet.message('I bring the thermos').waitFor()
    await tablet.say('From the kitchen')
    await bob.message('From the kitchen').waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Done' }).click()
    await page.locator('main').getByText('Kitchen tablet').waitFor()
    // An alarm on this device says that another one was added; that was us.
    await page.locator('main').getByRole('button', { name: 'Remove' }).click()
    await page.getByRole('alertdialog').getByRole('button', { name: 'Remove' }).click()
    await page.locator('main').getByText('Kitchen tablet').waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Back' }).first().click()
    await tablet.kill()
    await tablet.context.close()
  })

  step('block, and unblock', async () => {
    const { page } = bob
    await bob.open('Alice Berg')
    await bob.details()
    await page.locator('aside').getByRole('button', { name: 'Block' }).click()
    await page.getByRole('alertdialog').getByRole('button', { name: 'Block' }).click()
    await page.locator('.conversation').getByText('You blocked alice@example.org.').waitFor()
    await page.locator('.conversation').getByRole('button', { name: 'Unblock' }).click()
    await bob.field.waitFor()
    await page.locator('aside').getByRole('button', { name: 'Close' }).click()
  })

  step('unread messages are in the title and on the icon', async () => {
    await bob.page.getByRole('option').filter({ hasText: 'The cabin' }).click()
    await alice.open('Bob Ek')
    await alice.say('Are you still there?')
    await until('the title', async () => /^\(\d+\)/.test(await bob.page.title()))
    await until('the dot', async () => (await bob.page.locator('link[rel=icon]').getAttribute('href')).startsWith('data:image/png'))
    await bob.open('Alice Berg')
    await until('the title without a number', async () => (await bob.page.title()) === 'Waxwing')
  })

  step('other keys: nothing is sent until Bob’s friend decides', async () => {
    // Bob loses everything, and registers the same address again.
    await bob.context.close()
    await bob.kill()
    const again = await stage.person('bob', { home: 'bob-again' })
    await again.register()
    await again.writeTo(alice.address, 'New phone!')
    await alice.page.getByText('keys have changed. Nothing is sent until you decide.').waitFor()
    await shot(alice, 'keys-changed')
    await alice.page.getByRole('button', { name: 'Continue without comparing' }).click()
    await alice.page.getByRole('alertdialog').getByRole('button', { name: 'Continue' }).click()
    await alice.say('Glad to hear from you')
    await again.message('Glad to hear from you').waitFor()
    bob = again
  })

  step('the words bring the account back', async () => {
    const back = await stage.person('alice', { home: 'alice-again' })
    await back.page.getByText('I have recovery words').click()
    await back.page.getByLabel('Relay').fill(stage.relay)
    await back.page.getByLabel('Address').fill(alice.address)
    await back.page.getByLabel('Recovery words').fill(alice.words.join(' '))
    await back.page.getByRole('button', { name: 'Bring it back' }).click()
    await back.page.getByText('Your account is back.').waitFor()
    await back.page.getByRole('button', { name: 'Done' }).click()
    await back.page.getByRole('listbox', { name: 'Conversations' }).waitFor({ state: 'attached' })
    await shot(back, 'recovered')
    await back.kill()
    await back.context.close()
  })

  step('on a phone: pages push, and a swipe replies', async () => {
    await alice.context.close()
    alice.options = { width: 390, height: 844, theme: 'light', locale: 'en-GB', touch: true }
    await alice.kill()
    await alice.startApp()
    await alice.openPage()
    await alice.open('Bob Ek')
    await alice.message('New phone!').waitFor()
    const box = await alice.message('New phone!').boundingBox()
    const touch = async (type, x) => {
      await alice.page.evaluate(
        ([type, x, y]) => {
          const target = [...document.querySelectorAll('[role=log] article')].find((article) => article.textContent.includes('New phone!'))
          const point = new Touch({ identifier: 1, target, clientX: x, clientY: y })
          target.dispatchEvent(new TouchEvent(type, { bubbles: true, cancelable: true, touches: type === 'touchend' ? [] : [point], changedTouches: [point] }))
        },
        [type, x, box.y + 10],
      )
    }
    await touch('touchstart', 60)
    for (const x of [80, 110, 140]) await touch('touchmove', x)
    await touch('touchend', 140)
    await alice.page.getByText('Reply to').waitFor()
    await shot(alice, 'phone')
  })

  it('nothing left the machine, and nothing broke', () => {
    assert.deepEqual(stage.problems, [])
  })
})

/** Opens Alice's page in another browser; her own is closed, since only one may have it. */
async function stageOf(browser) {
  await alice.context.close()
  await alice.kill()
  await alice.startApp()
  alice.ownBrowser = browser
  await alice.openPage()
  alice.ownBrowser = undefined
  await alice.log.waitFor()
  const { page, name } = alice
  return { page, name }
}

/** A film of one grey picture, as Chromium's false camera shows it. */
function filmOf(png) {
  const [width, height] = [640, 480]
  const luma = Buffer.alloc(width * height, 235)
  const scale = Math.min(400 / png.width, 400 / png.height)
  const [left, top] = [(width - png.width * scale) / 2, (height - png.height * scale) / 2]
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [from, down] = [Math.floor((x - left) / scale), Math.floor((y - top) / scale)]
      if (from < 0 || down < 0 || from >= png.width || down >= png.height) continue
      luma[y * width + x] = 16 + (png.data[(down * png.width + from) * 4] * 219) / 255
    }
  }
  const chroma = Buffer.alloc((width * height) / 2, 128)
  return Buffer.concat([Buffer.from(`YUV4MPEG2 W${width} H${height} F30:1 Ip A1:1 C420\n`), ...Array.from({ length: 3 }, () => [Buffer.from('FRAME\n'), luma, chroma]).flat()])
}
