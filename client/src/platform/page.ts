/** What the web page needs beyond what uni-app's components do; empty in mini-programs, whose views do it themselves. */

/** The title of the window or of the vendor's bar. */
export function setTitle(title: string): void {
  // #ifdef H5
  document.title = title
  // #endif
  // #ifdef MP
  uni.setNavigationBarTitle({ title })
  // #endif
}

/** The language of the page, for screen readers and fonts. */
export function setPageLanguage(language: string): void {
  // #ifdef H5
  document.documentElement.lang = language
  // #endif
  // #ifdef MP
  void language // the vendor's own
  // #endif
}

export type Theme = 'auto' | 'light' | 'dark'

/** Colours of what surrounds our views: the browser's page, or the vendor's bar. */
export function setPageTheme(theme: Theme): void {
  // #ifdef H5
  document.documentElement.className = `theme-${theme}`
  // #endif
  // #ifdef MP
  const dark = theme === 'dark' || (theme === 'auto' && systemIsDark())
  uni.setNavigationBarColor({
    frontColor: dark ? '#ffffff' : '#000000',
    backgroundColor: dark ? '#15181c' : '#f5f6f4',
    fail: () => {},
  })
  // #endif
}

// #ifdef MP
/** Not by getSystemInfoSync: there uni-app makes up a lasting id for the device and stores it. */
function systemIsDark(): boolean {
  return (uni.getAppBaseInfo() as { theme?: string }).theme === 'dark'
}
// #endif

/** Follow the system's change between light and dark. */
export function watchSystemTheme(changed: () => void): void {
  // #ifdef MP
  uni.onThemeChange?.(changed)
  // #endif
  // #ifdef H5
  void changed // style sheets follow by themselves
  // #endif
}

/** Put the keyboard's focus on an element, or into the field inside it. */
export function focusOn(id: string): void {
  // #ifdef H5
  const element = document.getElementById(id)
  const field = element?.querySelector<HTMLElement>('textarea, input')
  ;(field ?? element)?.focus()
  // #endif
  // #ifdef MP
  void id // a vendor's keyboard would open
  // #endif
}

const FOCUSABLE = '[tabindex="0"], input, textarea, video, model-viewer'

/** Keep the keyboard inside a dialog, close it with Escape, and give the focus back; the function returned ends that. */
export function holdFocus(id: string, close: () => void): () => void {
  // #ifdef H5
  const before = document.activeElement as HTMLElement | null
  const dialog = document.getElementById(id)
  const listen = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') {
      event.preventDefault()
      close()
    }
    if (event.key !== 'Tab' || !dialog) return
    const inside = [...dialog.querySelectorAll<HTMLElement>(FOCUSABLE)].filter(
      (element) => element.offsetParent,
    )
    const [first, last] = [inside[0], inside[inside.length - 1]]
    const at = document.activeElement
    if (event.shiftKey ? at === first || !dialog.contains(at) : at === last || !dialog.contains(at)) {
      event.preventDefault()
      ;(event.shiftKey ? last : first)?.focus()
    }
  }
  document.addEventListener('keydown', listen, true)
  dialog?.querySelector<HTMLElement>(FOCUSABLE)?.focus()
  return () => {
    document.removeEventListener('keydown', listen, true)
    before?.focus?.()
  }
  // #endif
  // #ifdef MP
  void [id, close]
  return () => {}
  // #endif
}

/** Open a link of a reply: a new window on the web; in mini-programs, which may not, it is copied. */
export function openLink(url: string, copied: string): void {
  // #ifdef H5
  window.open(url, '_blank', 'noopener,noreferrer')
  void copied
  // #endif
  // #ifdef MP
  uni.setClipboardData({
    data: url,
    showToast: false,
    success: () => void uni.showToast({ title: copied, icon: 'none' }),
  })
  // #endif
}
