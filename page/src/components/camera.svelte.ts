// Whether there is a camera to scan with.

const found = $state({ camera: false })

export function hasCamera(): boolean {
  return found.camera
}

/** Asks the browser once; this turns no camera on. */
export async function lookForCamera(): Promise<void> {
  const devices = await navigator.mediaDevices?.enumerateDevices().catch(() => [])
  found.camera = devices?.some((device) => device.kind === 'videoinput') ?? false
}
