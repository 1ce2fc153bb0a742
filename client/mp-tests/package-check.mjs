// What can be said about the five builds without any vendor's tool: sizes, files, hosts, globals, syntax, templates.
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { CLIENT, filesIn } from '../scripts/sources.mjs'

const BUILDS = join(CLIENT, 'dist/build')
const COMPILERS = join(CLIENT, 'node_modules/miniprogram-compiler/bin/linux')
const PACKAGE_KIB = 600
const PAGE_KIB = 120
const TEMPLATES = { 'mp-weixin': 'wxml', 'mp-alipay': 'axml', 'mp-baidu': 'swan', 'mp-toutiao': 'ttml' }
// Loaded only when somebody opens a 3D preview or the camera.
const OPTIONAL = /(modelviewer|zxing)/
const BROWSER = /\b(window|document|navigator|localStorage|XMLHttpRequest|AudioContext|WebSocket)\s*[.(]/g
// Names, not addresses: the SVG namespace, and the example in src/shop.ts that every shop replaces.
const NAMES = new Set(['www.w3.org', 'assistant.example.com'])
// Libraries' links to their own documentation inside error texts, in optional code only.
const DOCUMENTATION = /https?:\/\/[^"'`\s)]*/g

let failed = 0
function check(fine, what) {
  if (!fine) failed += 1
  console.log(`${fine ? 'ok  ' : 'BAD '} ${what}`)
}
const kib = (bytes) => Math.round((bytes / 1024) * 10) / 10
const hostsIn = (text) =>
  [...text.matchAll(DOCUMENTATION)]
    .map(([address]) => address.split('/')[2])
    .filter((host) => /^[\w-]+(\.[\w-]+)+(:\d+)?$/.test(host) && !NAMES.has(host))

// --- the web page ---

const page = join(BUILDS, 'h5')
const files = filesIn(page)
const packed = (name) => gzipSync(readFileSync(join(page, name)), { level: 9 }).length
const first = files.filter((name) => !OPTIONAL.test(name))
const size = first.reduce((sum, name) => sum + packed(name), 0)
check(size <= PAGE_KIB * 1024, `h5: ${kib(size)} KiB gzip of ${PAGE_KIB} (without 3D and scanner code)`)
check(
  files.some((name) => /modelviewer/.test(name)) && files.some((name) => /zxing.*wasm/.test(name)),
  'h5: 3D and scanner code lie in files of their own',
)
const html = readFileSync(join(page, 'index.html'), 'utf8')
check(!/<script(?![^>]*\bsrc=)/.test(html) && !/style=|\son\w+=/.test(html), 'h5: no inline script or style')
check(!OPTIONAL.test(html), 'h5: optional code is not loaded at the start')
for (const name of first.filter((file) => /\.(js|css|html)$/.test(file))) {
  const hosts = hostsIn(readFileSync(join(page, name), 'utf8'))
  check(!hosts.length, `h5: ${name} names no foreign host ${hosts.join(' ')}`)
}
const loaders = /https:\/\/(www\.gstatic\.com|cdn\.|fastly\.|unpkg\.com)/
for (const name of files.filter((file) => OPTIONAL.test(file) && file.endsWith('.js'))) {
  check(!loaders.test(readFileSync(join(page, name), 'utf8')), `h5: ${name} loads nothing from public hosts`)
}

// --- the mini-programs ---

for (const [target, ending] of Object.entries(TEMPLATES)) {
  const folder = join(BUILDS, target)
  const names = filesIn(folder)
  const bytes = names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
  check(bytes <= PACKAGE_KIB * 1024, `${target}: ${kib(bytes)} KiB of ${PACKAGE_KIB}`)
  const app = JSON.parse(readFileSync(join(folder, 'app.json'), 'utf8'))
  const absent = app.pages
    .flatMap((name) => ['js', 'json', ending].map((kind) => `${name}.${kind}`))
    .filter((name) => !existsSync(join(folder, name)))
  check(!absent.length, `${target}: every page is there ${absent.join(' ')}`)
  const scripts = names.filter((name) => name.endsWith('.js'))
  const globals = scripts
    .filter((name) => !name.includes('vendor'))
    .flatMap((name) =>
      (readFileSync(join(folder, name), 'utf8').match(BROWSER) ?? []).map((found) => `${name}: ${found}`),
    )
  check(!globals.length, `${target}: our code uses nothing that only browsers have ${globals.join(' ')}`)
  const hosts = names
    .filter((name) => /\.(js|json|css|wxss|acss|ttss)$/.test(name))
    .flatMap((name) => hostsIn(readFileSync(join(folder, name), 'utf8')).map((host) => `${name}: ${host}`))
  check(!hosts.length, `${target}: no foreign host ${hosts.join(' ')}`)
  const broken = scripts.filter((name) => {
    try {
      new Function('require', 'module', 'exports', readFileSync(join(folder, name), 'utf8'))
      return false
    } catch {
      return true
    }
  })
  check(!broken.length, `${target}: every script parses ${broken.join(' ')}`)
  check(
    !names.some((name) => /static\/h5|\.wasm$/.test(name)),
    `${target}: nothing of the web page is packed`,
  )
}

// --- WeChat's own compilers (they come with miniprogram-simulate, for Linux on x86 only) ---

if (process.platform === 'linux' && process.arch === 'x64') {
  const folder = join(BUILDS, 'mp-weixin')
  const scratch = mkdtempSync(join(tmpdir(), 'wcc-'))
  for (const [compiler, ending, output] of [
    ['wcc', '.wxml', 't.js'],
    ['wcsc', '.wxss', 'c.js'],
  ]) {
    const names = filesIn(folder).filter((name) => name.endsWith(ending))
    const binary = join(COMPILERS, compiler)
    chmodSync(binary, 0o755) // npm drops the permission
    try {
      execFileSync(binary, ['-o', join(scratch, output), ...(compiler === 'wcsc' ? ['-js'] : []), ...names], {
        cwd: folder,
        stdio: 'pipe',
      })
      check(true, `mp-weixin: ${compiler} compiles ${names.length} files`)
    } catch (error) {
      check(false, `mp-weixin: ${compiler} ${error.stderr}`)
    }
  }
} else console.log('skip WeChat compilers: they run on Linux x86-64 only')

process.exit(failed ? 1 : 0)
