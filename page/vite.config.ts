import { svelte } from '@sveltejs/vite-plugin-svelte'
import { readFileSync } from 'node:fs'
import { defineConfig, type Plugin } from 'vitest/config'

/** Emoji, their names and skin tones: a fifth of what Emojibase has. */
function emoji(): Plugin {
  const prefix = 'virtual:emoji/'
  return {
    name: 'emoji',
    resolveId: (id) => (id.startsWith(prefix) ? `\0${id}` : undefined),
    load(id) {
      if (!id.startsWith(`\0${prefix}`)) return undefined
      const language = id.slice(prefix.length + 1)
      const file = `node_modules/emojibase-data/${language}/compact.json`
      interface Compact {
        unicode: string
        label: string
        tags?: string[]
        group?: number
        order?: number
        skins?: Compact[]
      }
      const all = JSON.parse(readFileSync(file, 'utf8')) as Compact[]
      const packed = all
        .filter((one) => one.group !== undefined && one.group !== 2)
        .sort((a, b) => (a.order ?? 0) - (b.order ?? 0))
        .map(({ unicode, label, tags = [], group, skins = [] }) => [
          unicode,
          label,
          tags.join(' '),
          group,
          // Two people of different tones are not offered: five tones are.
          skins.length >= 5 ? skins.slice(0, 5).map((skin) => skin.unicode) : [],
        ])
      return `export default JSON.parse(${JSON.stringify(JSON.stringify(packed))})`
    },
  }
}

// The page is served from memory under a strict Content-Security-Policy: nothing is inlined,
// and nothing depends on the machine or the moment of the build.
export default defineConfig(({ command, mode }) => ({
  plugins: [svelte(), emoji()],
  define: {
    // The fake engine is for tests and design work; what is shipped leaves it out.
    __FAKE__: JSON.stringify(command === 'serve' || mode === 'fake'),
  },
  build: {
    target: 'es2023',
    assetsInlineLimit: 0,
    cssMinify: true,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    sourcemap: false,
  },
  test: { include: ['src/**/*.test.ts'] },
}))
