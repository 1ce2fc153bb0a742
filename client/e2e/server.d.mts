export function startServer(settings?: Record<string, string>): Promise<{
  url: string
  socket: string
  addAgent(name: string): string
  log(): string
  stop(signal?: string): Promise<void>
}>
