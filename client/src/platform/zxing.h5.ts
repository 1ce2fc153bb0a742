/** zxing-wasm, in a file of its own so that only those who scan load it; its wasm lies beside the page. */

import { prepareZXingModule, readBarcodes } from 'zxing-wasm/reader'
import wasm from 'zxing-wasm/reader/zxing_reader.wasm?url'

prepareZXingModule({
  overrides: {
    locateFile: (name: string, prefix: string) => (name.endsWith('.wasm') ? wasm : prefix + name),
  },
})

/** The first code in a picture, "" if there is none. */
export async function readPixels(picture: ImageData): Promise<string> {
  const found = await readBarcodes(picture, {
    formats: ['EAN-13', 'EAN-8', 'UPC-A', 'UPC-E', 'ITF', 'Code128', 'QRCode', 'DataMatrix'],
    tryHarder: true,
    maxNumberOfSymbols: 1,
  })
  return found.find((code) => code.isValid)?.text ?? ''
}
