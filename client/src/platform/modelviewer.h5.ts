/** model-viewer, in a file of its own so that only those who open a preview load it. */

import '@google/model-viewer'
import * as template from '@google/model-viewer/lib/template.js'

const sheet = new CSSStyleSheet()
sheet.replaceSync((template as unknown as { styles: string }).styles) // see stylesToAdopt in vite.config.ts

export function adoptStyles(viewer: HTMLElement): void {
  viewer.shadowRoot?.adoptedStyleSheets.push(sheet)
}
