// Exporting conversations: asked once, told when it is done.

import Download from '@lucide/svelte/icons/download'
import type { Conversation } from '../engine'
import { t } from '../words/index.svelte'
import { app } from './app.svelte'
import { toasts } from './toasts.svelte'

class Exports {
  /** Whether one is being written. */
  busy = $state(false)
  /** Where the last one lies. */
  folder = $state('')

  /** Says first that what is written is not encrypted. */
  ask(one: Conversation, files = true): void {
    app.ask({
      title: t('export_title', { name: app.titleOf(one) }),
      text: t('export_warning'),
      yes: t('export'),
      answer: () => void this.write([one], files),
    })
  }

  async write(conversations: readonly Conversation[], files: boolean): Promise<void> {
    if (this.busy) return
    this.busy = true
    await app.attempt(async () => {
      for (const one of conversations) {
        const done = await app.engine.exportConversation(one.id, app.titleOf(one), files)
        this.folder = done.folder
        const missing = files && done.files_missing > 0 ? ` ${t('export_missing', { n: done.files_missing })}` : ''
        toasts.show({ text: t('export_done', { folder: done.folder }) + missing, icon: Download })
      }
    })
    this.busy = false
  }
}

export const exports = new Exports()
