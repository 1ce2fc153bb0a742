/** The assistant's protocol for any app: docs/client.md, "The core alone". */

export { AssistantClient, systemClock } from './client'
export type {
  Change,
  ClientOptions,
  ClientState,
  Clock,
  ConnectionState,
  Listener,
  OpenSocket,
  Socket,
  SocketEvents,
  Speech,
} from './client'
export { offeredReplies, runningTurn } from './conversation'
export type {
  AgentItem,
  Conversation,
  CustomerItem,
  Handover,
  Item,
  NoticeItem,
  ReplyItem,
  Via,
} from './conversation'
export { Chunker, Resampler, levelOf, toBase64, toPcm16 } from './audio'
export { readCard } from './cards'
export type { DeviceCard, KnownCard, OrderCard, PreviewCard, ProductCard } from './cards'
export { parseRichText, plainText } from './richtext'
export type { Block, Inline } from './richtext'
export { memoryStore } from './saved'
export type { Store } from './saved'
export { webSockets } from './websocket'
export type * from './protocol'
