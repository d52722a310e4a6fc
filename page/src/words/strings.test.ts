// Every sentence that people see is in the catalogue, and everything in the catalogue is seen.

import { parse } from 'svelte/compiler'
import ts from 'typescript'
import { expect, it } from 'vitest'
import { en } from './en'
import problems from './problems.ts?raw'

const SOURCES = Object.entries(import.meta.glob<string>('../**/*.{svelte,ts}', { query: '?raw', import: 'default', eager: true })).filter(
  ([path]) => !/^\.\/|\/words\/|\.test\.ts$|fake\.ts$|\.d\.ts$/.test(path),
)
/** Attributes that people see or hear. */
const SEEN = new Set(['aria-label', 'aria-valuetext', 'aria-roledescription', 'title', 'placeholder', 'alt', 'label', 'hint', 'text'])
/** Names that are the same in every language, signs, and what shows how something is written. */
const SAME = [/^Ctrl K$/, /^Esc$/, /^Enter$/, /^waxwing:invite\/…$/, /^[BIS]$/, /^<\/>$/, /^relay\.example\.org$/, /^waxwing-auditor-…$/, /^482193-7K3MQ-9TXPA$/, /^svg$/, /^Waxwing$/]

interface Node {
  type: string
  start: number
  [key: string]: unknown
}

const says = (text: string) => /\p{L}/u.test(text) && !SAME.some((same) => same.test(text.trim()))

/** Text and attributes of a component that are written in it. */
function written(source: string): string[] {
  const found: string[] = []
  const visit = (node: unknown, attribute?: string): void => {
    if (Array.isArray(node)) {
      for (const one of node) visit(one, attribute)
    } else if (node !== null && typeof node === 'object' && 'type' in node) {
      const one = node as Node
      if (one.type === 'StyleDirective' || one.type === 'ClassDirective') return
      if (one.type === 'Text' && (attribute === undefined || SEEN.has(attribute)) && says(String(one.data))) found.push(String(one.data).trim())
      const within = one.type === 'Attribute' ? String(one.name) : one.type === 'RegularElement' || one.type === 'Component' ? undefined : attribute
      for (const [key, value] of Object.entries(one)) if (key !== 'metadata') visit(value, within)
    }
  }
  visit(parse(source, { modern: true }).fragment)
  return found
}

/** Sentences among the strings of a script: a capital, then at least two words. */
function sentences(source: string): string[] {
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    // What an error says inside the program is for those who look for its cause.
    if (ts.isNewExpression(node) && /Error$/.test(node.expression.getText())) return
    if (ts.isStringLiteralLike(node) && /^\p{Lu}\p{L}+ \p{L}+/u.test(node.text) && says(node.text)) found.push(node.text)
    node.forEachChild(visit)
  }
  visit(ts.createSourceFile('a.ts', source, ts.ScriptTarget.Latest, true))
  return found
}

const scriptsOf = (source: string) => [...source.matchAll(/<script[^>]*>([\s\S]*?)<\/script>/g)].map((match) => match[1] ?? '').join('\n')

it('nothing that people see is written outside the catalogue', () => {
  expect(SOURCES.length).toBeGreaterThan(60)
  const outside = SOURCES.flatMap(([path, source]) => {
    const texts = path.endsWith('.svelte') ? [...written(source), ...sentences(scriptsOf(source))] : sentences(source)
    return texts.map((text) => `${path}: ${text}`)
  })
  expect(outside).toEqual([])
})

it('the search for such texts finds them', () => {
  expect(written('<p title="Go there">Read this <b class="x">{t(1)}</b></p>')).toEqual(['Go there', 'Read this'])
  expect(sentences("toast({ text: 'Something is wrong' }); throw new Error('This is for programmers')")).toEqual(['Something is wrong'])
})

it('everything in the catalogue is used', () => {
  const all = [...SOURCES.map(([, source]) => source), problems].join('\n')
  // Some keys are made of two parts: `t(`filter_${filter}`)`.
  const parts = [...all.matchAll(/`([a-z_]+)\$\{/g)].map((match) => match[1] ?? '')
  const unused = Object.keys(en).filter((key) => !new RegExp(`['"\`]${key}['"\`]`).test(all) && !parts.some((part) => key.startsWith(part)))
  expect(unused).toEqual([])
})
