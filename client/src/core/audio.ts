/** Samples on their way to the server: resampling, packing, cutting and the level shown while speaking. */

const PHASES = 64

/** Streaming resampler: windowed-sinc low-pass (Hann), its kernel tabulated at 64 phases. */
export class Resampler {
  private readonly half: number
  private readonly table: Float32Array[]
  private readonly ratio: number
  private kept: Float32Array
  private position: number

  constructor(fromHz: number, toHz: number, lobes = 16) {
    this.ratio = fromHz / toHz
    const cutoff = Math.min(1, toHz / fromHz) * 0.95
    this.half = Math.ceil(lobes / cutoff)
    this.table = []
    for (let phase = 0; phase <= PHASES; phase++) this.table.push(kernel(phase / PHASES, this.half, cutoff))
    this.kept = new Float32Array(this.half)
    this.position = this.half
  }

  /** The samples that can be computed so far; the last few milliseconds wait for more input. */
  push(input: Float32Array): Float32Array {
    const all = new Float32Array(this.kept.length + input.length)
    all.set(this.kept)
    all.set(input, this.kept.length)
    const count = Math.max(0, Math.ceil((all.length - this.half - this.position) / this.ratio))
    const output = new Float32Array(count)
    let made = 0
    while (made < count && Math.floor(this.position) + this.half < all.length) {
      const base = Math.floor(this.position)
      const taps = this.table[Math.round((this.position - base) * PHASES)]!
      let sum = 0
      for (let k = 0; k < taps.length; k++) sum += all[base - this.half + 1 + k]! * taps[k]!
      output[made++] = sum
      this.position += this.ratio
    }
    const from = Math.max(0, Math.floor(this.position) - this.half)
    this.kept = all.slice(from)
    this.position -= from
    return output.subarray(0, made)
  }
}

function kernel(fraction: number, half: number, cutoff: number): Float32Array {
  const taps = new Float32Array(half * 2)
  for (let k = 0; k < taps.length; k++) {
    const x = fraction + half - 1 - k
    if (Math.abs(x) >= half) continue
    const angle = Math.PI * x * cutoff
    const window = 0.5 + 0.5 * Math.cos((Math.PI * x) / half)
    taps[k] = window * cutoff * (angle === 0 ? 1 : Math.sin(angle) / angle)
  }
  return taps
}

/** Samples in -1..1 as 16-bit little-endian PCM. */
export function toPcm16(samples: Float32Array): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(samples.length * 2))
  for (let i = 0; i < samples.length; i++) {
    const sample = Math.max(-1, Math.min(1, samples[i]!))
    view.setInt16(i * 2, Math.round(sample < 0 ? sample * 32768 : sample * 32767), true)
  }
  return view.buffer as ArrayBuffer
}

/** Loudness of 16-bit little-endian PCM for a level meter: 0 below -50 dBFS, 1 at -10 dBFS and above. */
export function levelOf(pcm: ArrayBuffer): number {
  const view = new DataView(pcm)
  const count = Math.floor(pcm.byteLength / 2)
  if (!count) return 0
  let sum = 0
  for (let i = 0; i < count; i++) sum += (view.getInt16(i * 2, true) / 32768) ** 2
  const db = 10 * Math.log10(sum / count + 1e-10)
  return Math.max(0, Math.min(1, (db + 50) / 40))
}

/** Collects bytes of any length into chunks of one size. */
export class Chunker {
  private rest = new Uint8Array(0)

  constructor(private readonly size: number) {}

  push(bytes: ArrayBuffer): ArrayBuffer[] {
    const all = new Uint8Array(this.rest.length + bytes.byteLength)
    all.set(this.rest)
    all.set(new Uint8Array(bytes), this.rest.length)
    const chunks: ArrayBuffer[] = []
    let at = 0
    for (; at + this.size <= all.length; at += this.size) {
      chunks.push(all.slice(at, at + this.size).buffer as ArrayBuffer)
    }
    this.rest = all.slice(at)
    return chunks
  }

  /** What is left, or null. */
  flush(): ArrayBuffer | null {
    const rest = this.rest
    this.rest = new Uint8Array(0)
    return rest.length ? (rest.buffer as ArrayBuffer) : null
  }
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/** Base64 with padding (RFC 4648 section 4); mini-programs have no `btoa`. */
export function toBase64(bytes: ArrayBuffer): string {
  const data = new Uint8Array(bytes)
  let text = ''
  for (let i = 0; i < data.length; i += 3) {
    const [a, b, c] = [data[i]!, data[i + 1], data[i + 2]]
    text += BASE64[a >> 2]! + BASE64[((a & 3) << 4) | ((b ?? 0) >> 4)]!
    text += b === undefined ? '=' : BASE64[((b & 15) << 2) | ((c ?? 0) >> 6)]!
    text += c === undefined ? '=' : BASE64[c & 63]!
  }
  return text
}
