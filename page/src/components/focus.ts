/** Takes the focus when it appears, wherever the focus was. */
export function takesFocus(node: HTMLElement): void {
  node.focus()
}
