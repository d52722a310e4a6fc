// A few colours of a picture that is not here yet (https://blurha.sh).

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~'

function number(text: string): number {
  let value = 0
  for (const character of text) {
    const digit = DIGITS.indexOf(character)
    if (digit < 0) return Number.NaN
    value = value * 83 + digit
  }
  return value
}

const linear = (value: number) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4)
const gamma = (value: number) => {
  const v = Math.max(0, Math.min(1, value))
  return Math.round((v <= 0.0031308 ? v * 12.92 : 1.055 * v ** (1 / 2.4) - 0.055) * 255)
}
const signedSquare = (value: number) => Math.sign(value) * value * value

/** Pixels, or nothing for what is not a hash. */
export function decode(hash: string, width: number, height: number): Uint8ClampedArray<ArrayBuffer> | undefined {
  const size = number(hash.slice(0, 1))
  const across = (size % 9) + 1
  const down = Math.floor(size / 9) + 1
  if (Number.isNaN(size) || hash.length !== 4 + 2 * across * down) return undefined
  const most = (number(hash.slice(1, 2)) + 1) / 166
  const colours: [number, number, number][] = []
  for (let at = 0; at < across * down; at++) {
    if (at === 0) {
      const value = number(hash.slice(2, 6))
      colours.push([linear(value >> 16), linear((value >> 8) & 255), linear(value & 255)])
    } else {
      const value = number(hash.slice(4 + at * 2, 6 + at * 2))
      const part = (n: number) => signedSquare((n - 9) / 9) * most
      colours.push([part(Math.floor(value / 361)), part(Math.floor(value / 19) % 19), part(value % 19)])
    }
  }
  if (colours.flat().some(Number.isNaN)) return undefined
  const pixels = new Uint8ClampedArray(width * height * 4)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const sum = [0, 0, 0]
      colours.forEach((colour, at) => {
        const basis = Math.cos((Math.PI * x * (at % across)) / width) * Math.cos((Math.PI * y * Math.floor(at / across)) / height)
        for (let channel = 0; channel < 3; channel++) sum[channel] = (sum[channel] ?? 0) + (colour[channel] ?? 0) * basis
      })
      pixels.set([gamma(sum[0] ?? 0), gamma(sum[1] ?? 0), gamma(sum[2] ?? 0), 255], (y * width + x) * 4)
    }
  }
  return pixels
}
