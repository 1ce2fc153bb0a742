/// <reference types="vite/client" />
/* eslint-disable @typescript-eslint/consistent-type-imports -- an import would make this file a module */

interface ImportMetaEnv {
  readonly VITE_ASSISTANT_URL?: string
  readonly VITE_ASSISTANT_MEDIA?: string
  readonly VITE_ASSISTANT_PAGE?: string
}

interface Window {
  assistantShop?: Partial<import('./shop').ShopSettings>
}

declare module '*.vue' {
  import type { DefineComponent } from 'vue'
  const component: DefineComponent<Record<string, never>, Record<string, never>, unknown>
  export default component
}
