// Pictures of people and groups, made small here: they travel inside messages.

const SIDE = 256
/** Bytes that the engine takes. */
const MOST = 24 * 1024

export const PICTURE_TYPES = 'image/jpeg,image/png,image/webp'

/** A square of the picture's middle in base64, without what a camera adds; `undefined` for what is not a picture. */
export async function smallPicture(file: Blob): Promise<string | undefined> {
  const bitmap = await createImageBitmap(file).catch(() => undefined)
  if (!bitmap) return undefined
  const side = Math.min(bitmap.width, bitmap.height)
  const canvas = new OffscreenCanvas(SIDE, SIDE)
  canvas.getContext('2d')?.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, SIDE, SIDE)
  for (const quality of [0.85, 0.7, 0.5, 0.3]) {
    const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality })
    if (blob.size > MOST) continue
    return btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())))
  }
  return undefined
}
