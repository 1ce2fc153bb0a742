/** Products in 3D: drawn in the page on the web; mini-programs open that page in a web view. */

// #ifdef H5
import type { ModelViewerElement } from '@google/model-viewer'

/** Draw the model at `url` in `frame`; AR where the device can. Code for it is loaded now. */
export async function showModel(
  frame: HTMLElement,
  url: string,
  alt: string,
  arLabel: string,
  told: (phase: 'shown' | 'failed') => void,
): Promise<void> {
  if (!url) return told('failed')
  const loaded = await import('./modelviewer.h5').catch(() => null)
  if (!loaded) return told('failed')
  const viewer = document.createElement('model-viewer') as ModelViewerElement
  const calm = window.matchMedia('(prefers-reduced-motion: reduce)').matches
  viewer.setAttribute('camera-controls', '')
  viewer.setAttribute('touch-action', 'pan-y')
  viewer.setAttribute('shadow-intensity', '0.8')
  viewer.setAttribute('interaction-prompt', 'none')
  viewer.setAttribute('tabindex', '0')
  viewer.setAttribute('ar', '')
  viewer.setAttribute('ar-modes', 'webxr scene-viewer quick-look')
  viewer.setAttribute('alt', alt)
  if (!calm) viewer.setAttribute('auto-rotate', '')
  const ar = document.createElement('button')
  ar.slot = 'ar-button'
  ar.className = 'ar-button'
  ar.textContent = arLabel
  viewer.append(ar)
  viewer.addEventListener('load', () => told('shown'))
  viewer.addEventListener('error', () => told('failed'))
  viewer.src = url
  frame.replaceChildren(viewer)
  loaded.adoptStyles(viewer) // its shadow tree is made when it is placed
}
// #endif

/** The web page's address that shows one model; "" if no page is set. */
export function previewAddress(page: string, model: string, name: string): string {
  if (!page) return ''
  return `${page.replace(/#.*$/, '')}#/pages/preview/preview?model=${encodeURIComponent(model)}&name=${encodeURIComponent(name)}`
}

/** Whether a preview can be opened here. */
export function canPreview(page: string): boolean {
  // #ifdef H5
  return typeof WebGL2RenderingContext === 'function' || !!page
  // #endif
  // #ifdef MP
  return !!page
  // #endif
}
