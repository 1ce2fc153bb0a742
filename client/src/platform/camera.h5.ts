/** The camera's picture in the page, looked at for codes several times a second. */

export type CameraProblem = 'denied' | 'no_camera' | 'insecure' | 'camera'

export interface CameraWatch {
  stop(): void
}

interface CodeReader {
  read(video: HTMLVideoElement): Promise<string>
}

interface NativeDetector {
  detect(source: HTMLVideoElement): Promise<{ rawValue: string }[]>
}
interface NativeDetectorClass {
  new (options: { formats: string[] }): NativeDetector
  getSupportedFormats(): Promise<string[]>
}

const LOOK_MS = 150
const SIDE = 960
// What shops print and device boxes carry, as the Barcode Detection API names them
const FORMATS = ['ean_13', 'ean_8', 'upc_a', 'upc_e', 'itf', 'code_128', 'qr_code', 'data_matrix']

/** Show the camera in `frame` until a code is seen or `stop`. */
export function watchCamera(
  frame: HTMLElement,
  found: (code: string) => void,
  failed: (problem: CameraProblem) => void,
): CameraWatch {
  let stream: MediaStream | null = null
  let over = false
  let timer = 0
  const video = document.createElement('video')
  video.muted = true
  video.playsInline = true
  video.setAttribute('aria-hidden', 'true')

  const stop = (): void => {
    over = true
    clearTimeout(timer)
    stream?.getTracks().forEach((track) => track.stop())
    video.remove()
  }

  const watch = async (): Promise<void> => {
    if (!navigator.mediaDevices?.getUserMedia) {
      return failed(window.isSecureContext ? 'no_camera' : 'insecure')
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: 'environment', width: { ideal: 1280 }, height: { ideal: 720 } },
      })
      if (over) return stop()
      video.srcObject = stream
      frame.appendChild(video)
      await video.play()
      const reader = await codeReader()
      const look = async (): Promise<void> => {
        if (over) return
        const code = video.videoWidth ? await reader.read(video).catch(() => '') : ''
        if (over) return
        if (!code) {
          timer = window.setTimeout(() => void look(), LOOK_MS)
          return
        }
        stop()
        found(code)
      }
      await look()
    } catch (error) {
      if (over) return
      stop()
      failed(problemOf(error))
    }
  }
  void watch()
  return { stop }
}

/** The browser's own reader where it knows product codes; else zxing, loaded now. */
async function codeReader(): Promise<CodeReader> {
  const native = (window as unknown as { BarcodeDetector?: NativeDetectorClass }).BarcodeDetector
  const known = native ? await native.getSupportedFormats().catch(() => []) : []
  if (native && known.includes('ean_13') && known.includes('qr_code')) {
    const detector = new native({ formats: FORMATS.filter((format) => known.includes(format)) })
    return { read: async (video) => (await detector.detect(video))[0]?.rawValue ?? '' }
  }
  const { readPixels } = await import('./zxing.h5')
  const canvas = document.createElement('canvas')
  const context = canvas.getContext('2d', { willReadFrequently: true })
  return {
    read: async (video) => {
      if (!context) return ''
      const scale = Math.min(1, SIDE / Math.max(video.videoWidth, video.videoHeight))
      canvas.width = Math.round(video.videoWidth * scale)
      canvas.height = Math.round(video.videoHeight * scale)
      context.drawImage(video, 0, 0, canvas.width, canvas.height)
      return readPixels(context.getImageData(0, 0, canvas.width, canvas.height))
    },
  }
}

function problemOf(error: unknown): CameraProblem {
  const name = error instanceof Error ? error.name : ''
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'denied'
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return 'no_camera'
  return 'camera'
}
