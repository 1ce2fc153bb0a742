// A host for built mini-programs in Node: loads a package into a bare context (no window, document, navigator or
// WebSocket) with the vendor's global, renders its templates, and gives it real websockets and a scripted recorder,
// scanner and storage. It knows nothing of layout: it shows that code, templates, events and platform branches work.
import { readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import vm from 'node:vm'
import { parseDocument } from 'htmlparser2'
import WebSocket from 'ws'

export const PLATFORMS = {
  'mp-weixin': { global: 'wx', template: 'wxml', prefix: 'wx:' },
  'mp-alipay': { global: 'my', template: 'axml', prefix: 'a:' },
  'mp-baidu': { global: 'swan', template: 'swan', prefix: 's-' },
  'mp-toutiao': { global: 'tt', template: 'ttml', prefix: 'tt:' },
}

/** The vendor's API as far as the app uses it, each with its own manners. */
function vendorApi(platform, log, device) {
  const alipay = platform === 'mp-alipay'
  const storage = device.storage
  const system = {
    language: device.language,
    theme: 'light',
    platform: 'devtools',
    SDKVersion: '3.10.0',
    version: '8.0',
    hostName: 'Douyin',
    statusBarHeight: 20,
    windowWidth: 375,
    windowHeight: 667,
    screenHeight: 667,
    pixelRatio: 2,
    safeArea: { top: 0, bottom: 667 },
    host: {},
  }
  const api = {
    connectSocket(options) {
      log.socketOptions = options
      const socket = new WebSocket(device.url, { perMessageDeflate: false })
      device.sockets.add(socket)
      const wrap = (data) => (alipay ? { data: { data, isBuffer: false, socketTaskID: '1' } } : { data })
      options.success?.({})
      options.complete?.({})
      return {
        onOpen: (run) => socket.on('open', () => run({ header: {} })),
        onMessage: (run) => socket.on('message', (data) => device.inside(() => run(wrap(data.toString())))),
        // Alipay tells no code
        onClose: (run) => socket.on('close', (code) => device.inside(() => run(alipay ? {} : { code }))),
        onError: (run) => socket.on('error', (error) => device.inside(() => run({ errMsg: String(error) }))),
        send(message) {
          const bytes = Object.prototype.toString.call(message.data) === '[object ArrayBuffer]'
          if (typeof message.data !== 'string' && (alipay || !bytes)) {
            log.errors.push(`${platform}: this socket does not take what was sent`)
            return message.fail?.({})
          }
          log.sent.push(bytes ? { type: 'binary', bytes: message.data.byteLength } : JSON.parse(message.data))
          socket.send(bytes ? Buffer.from(new Uint8Array(message.data)) : message.data)
          message.success?.({})
        },
        close: () => socket.close(),
      }
    },
    getRecorderManager() {
      const on = {}
      device.recorder = on
      return {
        onStart: (run) => (on.start = run),
        onStop: (run) => (on.stop = run),
        onError: (run) => (on.error = run),
        onFrameRecorded: (run) => (on.frame = run),
        start(options) {
          log.recorderOptions = options
          on.start?.({})
          device.frames?.forEach((frameBuffer) => on.frame?.({ frameBuffer, isLastFrame: false }))
        },
        stop: () => on.stop?.({ tempFilePath: 'tmp://recording', duration: 1000 }),
      }
    },
    getFileSystemManager: () => ({ readFile: (options) => options.success({ data: device.file }) }),
    scanCode: (options) => options.success({ result: device.code }),
    scan: (options) => options.success({ code: device.code }), // Alipay's name and answer
    getStorageSync: (key) => (alipay ? { data: storage.get(key.key) ?? null } : (storage.get(key) ?? '')),
    setStorageSync: (key, value) => void (alipay ? storage.set(key.key, key.data) : storage.set(key, value)),
    removeStorageSync: (key) => void storage.delete(alipay ? key.key : key),
    getStorageInfoSync: () => ({ keys: [...storage.keys()] }),
    getSystemInfoSync: () => system,
    getAppBaseInfo: () => system,
    getWindowInfo: () => system,
    getDeviceInfo: () => system,
    getEnterOptionsSync: () => ({}),
    getLaunchOptionsSync: () => ({}),
    getAccountInfoSync: () => ({ miniProgram: {} }),
    canIUse: () => true,
    onAppShow: (run) => device.shown.push(run),
    onAppHide: (run) => device.hidden.push(run),
    onNetworkStatusChange: (run) => device.network.push(run),
    onThemeChange() {},
    onError() {},
    onUnhandledRejection() {},
    onPageNotFound() {},
    onMemoryWarning() {},
    setNavigationBarTitle: (options) => void log.titles.push(options.title),
    setNavigationBar: (options) => options.title && log.titles.push(options.title), // Alipay's name
    setNavigationBarColor() {},
    setClipboardData: (options) => options.success?.({}),
    setClipboard: (options) => options.success?.({}),
    showToast() {},
    navigateTo: (options) => void log.opened.push(options.url),
    createSelectorQuery() {
      const query = new Proxy({}, { get: () => () => query })
      return query
    },
    nextTick: (run) => setTimeout(run, 0),
    base64ToArrayBuffer: (text) => Uint8Array.from(Buffer.from(text, 'base64')).buffer,
    arrayBufferToBase64: (bytes) => Buffer.from(new Uint8Array(bytes)).toString('base64'),
    SDKVersion: '2.9.50',
    env: { USER_DATA_PATH: '/user' },
  }
  return new Proxy(api, {
    get(target, name) {
      if (typeof name === 'string' && !(name in target)) log.unknown.add(name)
      return target[name]
    },
    has: (target, name) => name in target,
  })
}

/**
 * Load the package in `root` as `platform` would. `options.url` is where its sockets lead; `frames` and `file` are
 * what the recorder gives, `code` what the scanner sees, `storage` what an earlier visit left.
 */
export function boot(platform, root, options = {}) {
  const { global: globalName, template, prefix } = PLATFORMS[platform]
  const log = { errors: [], unknown: new Set(), sent: [], titles: [], opened: [], setData: 0 }
  const device = {
    language: 'en',
    storage: new Map(),
    frames: [],
    file: new ArrayBuffer(0),
    code: '',
    ...options,
    sockets: new Set(),
    shown: [],
    hidden: [],
    network: [],
    inside: (run) => run(),
  }
  const registry = { app: null, pages: {} }
  const pages = []
  let loading = ''
  const context = vm.createContext({
    console: {
      ...console,
      log() {},
      warn: (...words) => log.errors.push(`warn ${words.join(' ')}`),
      error: (...words) => log.errors.push(`error ${words.map((word) => word?.stack ?? word).join(' ')}`),
    },
    setTimeout,
    clearTimeout,
    setInterval,
    clearInterval,
    Promise,
    Date,
    Math,
    JSON,
    App: (app) => (registry.app = app),
    Page: (definition) => (registry.pages[loading] = { kind: 'Page', definition }),
    Component: (definition) => (registry.pages[loading] = { kind: 'Component', definition }),
    Behavior: (behavior) => behavior,
    getApp: () => registry.app,
    getCurrentPages: () => pages,
    [globalName]: vendorApi(platform, log, device),
  })
  vm.runInContext('globalThis.global = globalThis', context)

  const modules = {}
  function load(file) {
    const name = normalize(file.endsWith('.js') ? file : `${file}.js`)
    if (modules[name]) return modules[name].exports
    const module = (modules[name] = { exports: {} })
    const source = `(function(require,module,exports){${readFileSync(join(root, name), 'utf8')}\n})`
    const run = vm.runInContext(source, context, { filename: join(root, name) })
    run((wanted) => load(join(dirname(name), wanted)), module, module.exports)
    return module.exports
  }

  const app = JSON.parse(readFileSync(join(root, 'app.json'), 'utf8'))
  load('app.js')
  registry.app?.onLaunch?.call(registry.app, {})
  registry.app?.onShow?.call(registry.app, {})
  for (const page of app.pages) {
    loading = page
    load(page)
  }

  // --- components: code, template and children of each file, read once ---

  const parts = {}
  function part(path) {
    if (parts[path]) return parts[path]
    if (!registry.pages[path]) {
      const before = loading
      loading = path
      load(path)
      loading = before
    }
    const { usingComponents = {} } = JSON.parse(readFileSync(join(root, `${path}.json`), 'utf8'))
    const place = (target) =>
      target.startsWith('/') ? target.slice(1) : normalize(join(dirname(path), target))
    const document = parseDocument(readFileSync(join(root, `${path}.${template}`), 'utf8'), {
      xmlMode: true,
      recognizeSelfClosing: true,
    })
    const uses = Object.fromEntries(
      Object.entries(usingComponents).map(([name, target]) => [name, place(target)]),
    )
    return (parts[path] = { ...registry.pages[path], uses, document })
  }

  function guard(what, run) {
    try {
      return run()
    } catch (error) {
      log.errors.push(`${what}: ${error.stack ?? error}`)
      throw error
    }
  }

  function call(instance, name, ...values) {
    const handler = typeof name === 'function' ? name : (instance[name] ?? instance.methods?.[name])
    if (!handler) throw new Error(`no handler ${name} on ${instance.is}`)
    return handler.apply(instance, values)
  }

  let ids = 0
  /** Views follow each setData at once, as the vendors' do: children learn of changes only through their properties. */
  let redraw = () => {}
  function create(path, { page, owner, attributes = {}, query } = {}) {
    const { kind, definition, ...rest } = part(path)
    const methods = { ...(definition.methods ?? {}) }
    const instance = Object.create({ ...(kind === 'Page' ? definition : {}), ...methods })
    const node = { instance, path, part: { definition, ...rest }, children: new Map(), attributes, owner }
    const apply = (changes) => {
      for (const [key, value] of Object.entries(changes)) setAt(instance.data, key, asJson(value))
    }
    const listener = (name) =>
      node.attributes[`bind${name}`] ??
      node.attributes[`bind:${name}`] ??
      node.attributes[`on${name[0].toUpperCase()}${name.slice(1)}`]
    const initial = typeof definition.data === 'function' ? definition.data() : (definition.data ?? {})
    const alipayPart = kind === 'Component' && platform === 'mp-alipay'
    Object.assign(instance, {
      data: asJson(initial),
      properties: {},
      props: { ...(alipayPart ? definition.props : {}) },
      options: query,
      is: path,
      uniqueId: 1,
      pageId: 1,
      methods,
      $page: { id: 1 },
      $id: ++ids,
      setData(changes, then) {
        log.setData += 1
        apply(changes)
        redraw()
        then?.()
      },
      $spliceData(changes, then) {
        log.setData += 1
        for (const [key, values] of Object.entries(changes))
          getAt(instance.data, key).splice(...asJson(values))
        redraw()
        then?.()
      },
      selectComponent: () => null,
      selectAllComponents: () => [],
      createSelectorQuery: () => ({}),
      getPageId: () => 1,
      setUpdatePerformanceListener() {},
      groupSetData: (run) => run?.(),
      triggerEvent(name, detail) {
        const handler = owner && listener(name)
        const event = {
          type: name,
          detail: detail ?? {},
          target: { dataset: {} },
          currentTarget: { dataset: {} },
        }
        if (handler) guard(`event ${name}`, () => call(owner.instance, handler, event))
      },
      dispatch(name, value) {
        for (let at = owner; at; at = at.owner) {
          const { definition: own } = at.part
          const handler = own.messages?.[name] ?? own.methods?.messages?.[name]
          if (handler) return handler.call(at.instance, { value })
        }
      },
    })
    if (page) Object.assign(instance, { route: path, __route__: path, pageinstance: instance })
    if (platform === 'mp-toutiao') Object.assign(instance, { __nodeId__: page ? 0 : ++ids, __webviewId__: 1 })

    node.update = (now, first) => {
      node.attributes = now
      if (page) return
      if (platform === 'mp-alipay') {
        const next = { ...(definition.props ?? {}) }
        for (const [key, value] of Object.entries(now)) {
          const event = /^on[A-Z]/.test(key)
          next[camelCase(key)] = event ? (...values) => call(owner.instance, value, ...values) : value
        }
        const before = instance.props
        if (!first) definition.deriveDataFromProps?.call(instance, next)
        instance.props = next
        if (!first) definition.didUpdate?.call(instance, before, instance.data)
        return
      }
      for (const [key, property] of Object.entries(definition.properties ?? {})) {
        const given = now[key] ?? now[key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)]
        const value = given === undefined ? (property?.value ?? null) : given
        const before = instance.properties[key]
        instance.properties[key] = value
        instance.data[key] = asJson(value)
        if (first || JSON.stringify(before) === JSON.stringify(value)) continue
        property?.observer?.call(instance, value, before)
        definition.observers?.[key]?.call(instance, value)
      }
    }
    node.update(attributes, true)
    if (page) pages.push(instance)
    const life = definition.lifetimes ?? {}
    guard(`mount ${path}`, () => {
      ;(life.created ?? definition.created)?.call(instance)
      ;(life.attached ?? definition.attached)?.call(instance)
      definition.onInit?.call(instance, query)
      if (!page) definition.didMount?.call(instance)
      if (page) {
        ;(methods.onLoad ?? definition.onLoad)?.call(instance, query)
        ;(definition.pageLifetimes?.show ?? methods.onShow ?? definition.onShow)?.call(instance)
      }
      ;(life.ready ?? definition.ready)?.call(instance)
      ;(methods.onReady ?? definition.onReady)?.call(instance)
    })
    node.remove = () => {
      for (const child of node.children.values()) child.remove()
      ;(life.detached ?? definition.detached)?.call(instance)
      definition.didUnmount?.call(instance)
    }
    return node
  }

  // --- pages ---

  function open(path, query = {}) {
    const top = create(path, { page: true, query })
    let dirty = false
    const draw = (node, slot = []) => {
      const seen = new Set()
      const drawn = renderNodes(
        node.part.document.children,
        node.instance.data,
        prefix,
        (tag, attributes, index, kids) => {
          if (tag === 'slot') return { node, replace: slot }
          const target = node.part.uses[tag]
          if (!target) return { node }
          const key = `${attributes['u-i'] ?? tag}#${index}`
          seen.add(key)
          let child = node.children.get(key)
          if (child) child.update(attributes)
          else {
            child = create(target, { owner: node, attributes })
            node.children.set(key, child)
            dirty = true
          }
          return { node, child, kids: draw(child, kids) }
        },
      )
      for (const [key, child] of node.children) {
        if (seen.has(key)) continue
        node.children.delete(key)
        child.remove()
      }
      return drawn
    }
    let drawing = false
    let drawn = []
    const render = () => {
      dirty = true
      if (drawing) return drawn
      drawing = true
      try {
        for (let rounds = 0; dirty && rounds < 20; rounds++) {
          dirty = false
          drawn = draw(top)
        }
      } finally {
        drawing = false
      }
      return drawn
    }
    redraw = render
    render()
    const emit = (node, type, detail = {}) => {
      const capital = type[0].toUpperCase() + type.slice(1)
      const names =
        platform === 'mp-alipay'
          ? [`on${capital}`, `catch${capital}`]
          : [`bind${type}`, `bind:${type}`, `catch${type}`]
      const handler = names.map((name) => node.attributes[name]).find(Boolean)
      if (!handler) throw new Error(`no handler for ${type} on ${node.tag}`)
      const event = {
        type,
        detail,
        target: { dataset: {}, id: '' },
        currentTarget: { dataset: dataset(node.attributes), id: '' },
        timeStamp: Date.now(),
        stopPropagation() {},
      }
      return guard(type, () => call(node.scope.instance, handler, event))
    }
    const close = () => {
      const { definition } = top.part
      ;(definition.methods?.onUnload ?? definition.onUnload)?.call(top.instance)
      top.remove()
      device.sockets.forEach((socket) => socket.terminate())
    }
    return { instance: top.instance, render, emit, close }
  }
  return { app, log, device, open }
}

// --- templates ---

const camelCase = (name) => name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase())
const dataset = (attributes) =>
  Object.fromEntries(
    Object.entries(attributes)
      .filter(([name]) => name.startsWith('data-'))
      .map(([name, value]) => [camelCase(name.slice(5)), value]),
  )

/** Data crosses to the view as JSON: neither functions nor undefined survive. */
function asJson(value) {
  return value === undefined ? value : JSON.parse(JSON.stringify(value))
}
const keysOf = (path) => path.replace(/\[(\d+)\]/g, '.$1').split('.')
function getAt(data, path) {
  return keysOf(path).reduce((at, key) => at?.[key], data)
}
function setAt(data, path, value) {
  const keys = keysOf(path)
  const last = keys.pop()
  keys.reduce((at, key) => (at[key] ??= {}), data)[last] = value
}

function evaluate(expression, scope) {
  const names = new Proxy(scope, {
    has: () => true,
    get: (target, name) => (name === Symbol.unscopables ? undefined : target[name]),
  })
  return new Function('scope', `with(scope){return (${expression})}`)(names)
}
function valueOf(raw, scope) {
  const whole = /^\{\{([\s\S]*)\}\}$/.exec(raw)
  if (whole && !whole[1].includes('{{')) return evaluate(whole[1].trim(), scope)
  return raw.replace(/\{\{([\s\S]*?)\}\}/g, (_, expression) => String(evaluate(expression, scope) ?? ''))
}

function renderNodes(nodes, scope, prefix, visit, index = 0) {
  const drawn = []
  let taken = false // whether a branch of the running if / else chain was taken
  for (const node of nodes) {
    if (node.type === 'text') {
      const text = String(valueOf(node.data, scope))
      if (text.trim()) drawn.push(text)
      continue
    }
    if (node.type !== 'tag') continue
    const raw = { ...node.attribs }
    const loop = raw[`${prefix}for`]
    if (loop !== undefined) {
      let item = raw[`${prefix}for-item`] ?? 'item'
      let at = raw[`${prefix}for-index`] ?? 'index'
      const baidu = /^(\w+)(?:,\s*(\w+))? in ([\s\S]*?)(?: trackBy .*)?$/.exec(loop)
      let list
      if (baidu && !loop.startsWith('{{')) {
        item = baidu[1]
        at = baidu[2] ?? at
        list = evaluate(baidu[3], scope)
      } else list = valueOf(loop, scope)
      const own = Object.entries(raw).filter(
        ([name]) => !name.startsWith(`${prefix}for`) && name !== `${prefix}key`,
      )
      const attribs = Object.fromEntries(own)
      ;(list ?? []).forEach((value, i) => {
        const inner = { ...scope, [item]: value, [at]: i }
        drawn.push(...renderNodes([{ ...node, attribs }], inner, prefix, visit, `${index}.${i}`))
      })
      continue
    }
    const condition = (text) => !!valueOf(/\{\{/.test(text) ? text : `{{${text}}}`, scope)
    if (raw[`${prefix}if`] !== undefined) {
      taken = condition(raw[`${prefix}if`])
      if (!taken) continue
    } else if (raw[`${prefix}elif`] !== undefined) {
      if (taken) continue
      taken = condition(raw[`${prefix}elif`])
      if (!taken) continue
    } else if (`${prefix}else` in raw && taken) continue
    const attributes = {}
    for (const [name, value] of Object.entries(raw)) {
      if (name.startsWith(prefix)) continue
      attributes[name] = value === '' ? true : valueOf(value.replace(/^\{=([\s\S]*)=\}$/, '{{$1}}'), scope)
    }
    const kids = renderNodes(node.children ?? [], scope, prefix, visit, index)
    if (node.name === 'block') {
      drawn.push(...kids)
      continue
    }
    const visited = visit(node.name, attributes, index, kids)
    if (visited.replace) drawn.push(...visited.replace)
    else drawn.push({ tag: node.name, attributes, kids: visited.kids ?? kids, scope: visited.node })
  }
  return drawn
}

// --- looking at what was drawn ---

export function classesOf(node) {
  const value = node.attributes.class ?? ''
  const flat = (part) =>
    Array.isArray(part) ? part.map(flat).join(' ') : typeof part === 'string' ? part : ''
  return flat(value).split(/\s+/).filter(Boolean)
}
export function find(nodes, name) {
  return nodes.flatMap((node) =>
    typeof node === 'string'
      ? []
      : [...(classesOf(node).includes(name) ? [node] : []), ...find(node.kids, name)],
  )
}
export function byLabel(nodes, label) {
  return nodes.flatMap((node) =>
    typeof node === 'string'
      ? []
      : [
          ...(node.attributes['aria-label'] === label && node.attributes.role ? [node] : []),
          ...byLabel(node.kids, label),
        ],
  )
}
export function textOf(node) {
  return typeof node === 'string' ? node : node.kids.map(textOf).join('')
}
/** Tags, classes and texts, without what differs by platform. */
export function shapeOf(node) {
  if (typeof node === 'string') return node.trim()
  const tag = node.tag === 'scroll-view' ? 'scroll-view' : node.tag
  return { tag, classes: classesOf(node).sort().join(' '), kids: node.kids.map(shapeOf) }
}
