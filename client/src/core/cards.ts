/** Cards of replies, read field by field: what the server sends is not trusted to have any shape. */

import type { Card } from './protocol'

export interface ProductCard {
  kind: 'product'
  sku: string
  name: string
  price: string
  stock: string
  inStock: boolean
  category: string
  description: string
  attributes: { name: string; value: string }[]
  image: string
  preview: boolean
  /** Why it is recommended; "" for a product that was asked for. */
  reason: string
}

export interface OrderCard {
  kind: 'order'
  number: string
  status: string
  /** How far it is: 0 placed, 1 packed, 2 on its way, 3 delivered; -1 for an end or a state of another kind. */
  step: number
  placed: string
  expected: string
  slot: string
  delivery: string
  total: string
  items: { name: string; count: number }[]
}

export interface DeviceCard {
  kind: 'device'
  key: string
  name: string
  room: string
  type: string
  reachable: boolean
  values: Record<string, boolean | number | string>
}

export interface PreviewCard {
  kind: 'preview'
  sku: string
  name: string
  model: string
  dimensions: string
  image: string
}

export type KnownCard = ProductCard | OrderCard | DeviceCard | PreviewCard

const STEPS: Record<string, number> = {
  placed: 0,
  processing: 0,
  'in production': 0,
  packed: 1,
  shipped: 2,
  'in transit': 2,
  'out for delivery': 2,
  delivered: 3,
}

/** A card this app can draw; null for other kinds, which newer servers may have. */
export function readCard(card: Card): KnownCard | null {
  const data = card.data
  switch (card.kind) {
    case 'product':
      return {
        kind: 'product',
        sku: text(data.sku),
        name: text(data.name),
        price: text(data.price_text),
        stock: text(data.stock_text) || text(data.stock),
        inStock: text(data.stock) !== '0' && data.stock !== 0,
        category: text(data.category),
        description: text(data.description),
        attributes: entries(data.attributes),
        image: text(data.image),
        preview: data.preview === true,
        reason: text(data.reason),
      }
    case 'order':
      return {
        kind: 'order',
        number: text(data.order_number),
        status: text(data.status),
        step: STEPS[text(data.status).toLowerCase()] ?? -1,
        placed: text(data.placed),
        expected: text(data.expected),
        slot: text(data.slot),
        delivery: text(data.delivery_method),
        total: text(data.total_text),
        items: list(data.items).map((item) => ({
          name: text(item.name) || text(item.sku),
          count: typeof item.count === 'number' ? item.count : 1,
        })),
      }
    case 'device':
      return {
        kind: 'device',
        key: `${text(data.home)}/${text(data.id)}`,
        name: text(data.name),
        room: text(data.room),
        type: text(data.type),
        reachable: data.reachable !== false,
        values: values(data.state),
      }
    case 'preview':
      return {
        kind: 'preview',
        sku: text(data.sku),
        name: text(data.name),
        model: text(data.model),
        dimensions: text(data.dimensions),
        image: text(data.image),
      }
    default:
      return null
  }
}

type Fields = Record<string, unknown>

function text(value: unknown): string {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' ? value : ''
}

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
}

function list(value: unknown): Fields[] {
  return Array.isArray(value) ? value.map(fields) : []
}

function entries(value: unknown): { name: string; value: string }[] {
  return Object.entries(fields(value))
    .map(([name, entry]) => ({ name: name.replace(/_/g, ' '), value: text(entry) }))
    .filter((entry) => entry.value)
}

function values(value: unknown): DeviceCard['values'] {
  const kept: DeviceCard['values'] = {}
  for (const [name, entry] of Object.entries(fields(value))) {
    if (typeof entry === 'boolean' || typeof entry === 'number' || typeof entry === 'string')
      kept[name] = entry
  }
  return kept
}
