// Things tests look at: a bar code as the camera would see it, speech.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CLIENT } from '../scripts/sources.mjs'

const LEFT = [
  '0001101',
  '0011001',
  '0010011',
  '0111101',
  '0100011',
  '0110001',
  '0101111',
  '0111011',
  '0110111',
  '0001011',
]
const PARITY = [
  'LLLLLL',
  'LLGLGG',
  'LLGGLG',
  'LLGGGL',
  'LGLLGG',
  'LGGLLG',
  'LGGGLL',
  'LGLGLG',
  'LGLGGL',
  'LGGLGL',
]
const invert = (bits) => [...bits].map((bit) => (bit === '1' ? '0' : '1')).join('')
const reverse = (bits) => [...bits].reverse().join('')

/** The 95 modules of an EAN-13 (GS1 General Specifications, 5.2.1): 1 is a bar. */
export function ean13(code) {
  const digits = [...code].map(Number)
  const left = digits
    .slice(1, 7)
    .map((digit, i) => (PARITY[digits[0]][i] === 'L' ? LEFT[digit] : reverse(invert(LEFT[digit]))))
  const right = digits.slice(7).map((digit) => invert(LEFT[digit]))
  return `101${left.join('')}01010${right.join('')}101`
}

/** A film (YUV4MPEG2) in which the camera looks at this code. */
export function writeBarcodeFilm(path, code, width = 640, height = 480) {
  const bits = ean13(code)
  const bar = 4
  const start = Math.round((width - bits.length * bar) / 2)
  const luma = Buffer.alloc(width * height, 235)
  for (let y = 120; y < 360; y++) {
    for (let i = 0; i < bits.length; i++) {
      if (bits[i] === '1') luma.fill(16, y * width + start + i * bar, y * width + start + (i + 1) * bar)
    }
  }
  const chroma = Buffer.alloc((width * height) / 2, 128)
  const frame = Buffer.concat([Buffer.from('FRAME\n'), luma, chroma])
  writeFileSync(
    path,
    Buffer.concat([Buffer.from(`YUV4MPEG2 W${width} H${height} F5:1 Ip A1:1 C420\n`), frame, frame]),
  )
}

/** A WAV of somebody speaking, from tests/data; null if there is none. ASSISTANT_SPEECH names another one. */
export function speechFile() {
  if (process.env.ASSISTANT_SPEECH) return process.env.ASSISTANT_SPEECH
  const folder = join(CLIENT, '../tests/data')
  if (!existsSync(folder)) return null
  const found = readdirSync(folder, { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((path) => path.endsWith('.wav') && statSync(path).size > 20_000)
    .filter((path) => readFileSync(path).subarray(0, 4).toString('latin1') === 'RIFF')
  return found.sort()[0] ?? null
}
