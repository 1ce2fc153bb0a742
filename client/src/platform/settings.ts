/** Where this build runs, and the shop's settings for it. */

import { shopSettings, type ShopSettings } from '../shop'

export type PlatformName = 'web' | 'mp-weixin' | 'mp-alipay' | 'mp-baidu' | 'mp-toutiao'

export function platformName(): PlatformName {
  // #ifdef H5
  return 'web'
  // #endif
  // #ifdef MP
  return process.env.UNI_PLATFORM as PlatformName
  // #endif
}

/** The shop's settings; the web page talks to the server it came from unless told otherwise. */
export function readShopSettings(): ShopSettings {
  // #ifdef H5
  const here = new URL('ws', location.origin + location.pathname)
  here.protocol = here.protocol === 'https:' ? 'wss:' : 'ws:'
  const media = new URL('media/', location.origin + location.pathname).href
  return { ...shopSettings, url: here.href, media: shopSettings.media || media, ...window.assistantShop }
  // #endif
  // #ifdef MP
  return shopSettings
  // #endif
}

/** The language of the device, for example `en-GB`. */
export function deviceLocale(): string {
  // #ifdef H5
  return navigator.language || 'en'
  // #endif
  // #ifdef MP
  return uni.getLocale() || 'zh-Hans'
  // #endif
}

/** The full address of a picture or model of the catalogue; "" for what may not or cannot be loaded. */
export function mediaAddress(path: unknown, media: string): string {
  if (typeof path !== 'string' || !path) return ''
  if (/^https:\/\/[^/]+/.test(path)) return path
  if (!media || /^[a-z][a-z0-9+.-]*:|^\/\/|\\|(^|\/)\.\.?(\/|$)/i.test(path)) return ''
  return media.replace(/\/*$/, '/') + path.replace(/^\/+/, '').split('/').map(encodeURIComponent).join('/')
}
