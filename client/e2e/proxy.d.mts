export interface Link {
  cut(): void
  say(message: object): void
}
export interface Seen {
  type: string
  [field: string]: unknown
}
export function startProxy(
  serverUrl: string,
  rules?: {
    fromServer?(message: Seen, link: Link): boolean | object
    fromClient?(message: Seen, link: Link): boolean
    refuse?(): boolean
  },
): Promise<{
  url: string
  socket: string
  seen: { fromClient: Seen[]; fromServer: Seen[]; requests: string[] }
  cutAll(): void
  stop(): void
}>
