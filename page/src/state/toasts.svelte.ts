// Short lines at the bottom: what was done, and how to undo it.

import type { Component } from 'svelte'

export interface Toast {
  id: number
  text: string
  icon?: Component
  action?: { label: string; run(): void }
}

const SHOWN_MS = 5000
let ids = 0

class Toasts {
  list = $state.raw<Toast[]>([])

  show(toast: Omit<Toast, 'id'>): void {
    const id = ++ids
    this.list = [...this.list.slice(-2), { ...toast, id }]
    setTimeout(() => this.close(id), SHOWN_MS)
  }

  close(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id)
  }
}

export const toasts = new Toasts()
