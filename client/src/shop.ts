/**
 * What a shop sets for its own build; docs/client.md, "Your own build".
 *
 * On the web the same fields may be given at run time by a script of the page as `window.assistantShop`.
 */
export interface ShopSettings {
  /** Address of the websocket. Needed by mini-programs; the web page uses the server it came from. */
  url: string
  /** Address below which relative pictures and 3D models of the catalogue lie; "" if there are none. */
  media: string
  /** Address of the web page, which mini-programs open for 3D previews; "" hides the button there. */
  page: string
  /** A fresh token of the signed-in customer (docs/protocol.md, "Signed-in customers"); "" for a guest. */
  customer: () => Promise<string>
}

export const shopSettings: ShopSettings = {
  url: import.meta.env.VITE_ASSISTANT_URL ?? 'wss://assistant.example.com/ws',
  media: import.meta.env.VITE_ASSISTANT_MEDIA ?? '',
  page: import.meta.env.VITE_ASSISTANT_PAGE ?? '',
  customer: () => Promise.resolve(''),
}
