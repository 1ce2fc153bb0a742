/** Codes from the camera: the vendors' scanners, and on the web the camera's picture beside the typed code. */

// #ifdef MP
/** Open the vendor's scanner; "" if the customer came back without a code. */
export function scanWithPlatform(): Promise<string> {
  return new Promise((resolve) => {
    uni.scanCode({
      success: (found) => resolve(String(found.result ?? '')),
      fail: () => resolve(''),
    })
  })
}
// #endif

// #ifdef H5
export { watchCamera, type CameraProblem, type CameraWatch } from './camera.h5'
// #endif

const PHOTO_SIDE = 1600

/** Let the customer choose or take a photo, made small enough for the server; null if none was taken. */
export function choosePhoto(mostBytes: number): Promise<ArrayBuffer | null> {
  // #ifdef H5
  return choosePhotoOnWeb(mostBytes)
  // #endif
  // #ifdef MP
  return new Promise((resolve) => {
    uni.chooseImage({
      count: 1,
      sizeType: ['compressed'],
      success: (chosen) => {
        uni.getFileSystemManager().readFile({
          filePath: String(chosen.tempFilePaths[0]),
          success: (read) => {
            const bytes = read.data as ArrayBuffer
            resolve(bytes.byteLength <= mostBytes ? bytes : null)
          },
          fail: () => resolve(null),
        })
      },
      fail: () => resolve(null),
    })
  })
  // #endif
}

// #ifdef H5
function choosePhotoOnWeb(mostBytes: number): Promise<ArrayBuffer | null> {
  return new Promise((resolve) => {
    const input = document.createElement('input')
    input.type = 'file'
    input.accept = 'image/*'
    input.onchange = () => {
      const file = input.files?.[0]
      if (!file) return resolve(null)
      shrink(file, mostBytes).then(resolve, () => resolve(null))
    }
    input.addEventListener('cancel', () => resolve(null))
    input.click()
  })
}

async function shrink(file: Blob, mostBytes: number): Promise<ArrayBuffer | null> {
  const picture = await createImageBitmap(file)
  for (let side = PHOTO_SIDE; side >= 400; side /= 2) {
    const scale = Math.min(1, side / Math.max(picture.width, picture.height))
    const canvas = document.createElement('canvas')
    canvas.width = Math.round(picture.width * scale)
    canvas.height = Math.round(picture.height * scale)
    canvas.getContext('2d')?.drawImage(picture, 0, 0, canvas.width, canvas.height)
    const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/jpeg', 0.85))
    if (blob && blob.size <= mostBytes) return blob.arrayBuffer()
  }
  return null
}
// #endif
