'use strict'
// The demo as a process of ours: started where nothing answers yet, and stopped by us.

const { spawn } = require('node:child_process')
const { setTimeout: sleep } = require('node:timers/promises')

const patience = 15_000 // milliseconds to start, and to stop

// answers reports whether anything speaks HTTP at url.
async function answers (url) {
  try {
    await (await fetch(url, { signal: AbortSignal.timeout(1000) })).arrayBuffer()
    return true
  } catch {
    return false
  }
}

// serves reports whether the gateway at url can serve the test's request.
async function serves (url) {
  try {
    const answer = await fetch(url + '/api/users', {
      headers: { authorization: 'Bearer test-token' },
      signal: AbortSignal.timeout(1000)
    })
    await answer.arrayBuffer()
    return answer.status === 200
  } catch {
    return false
  }
}

// start runs the demo until the returned function is called, and waits until url serves.
// It starts nothing where something answers already.
async function start (binary, url) {
  if (await answers(url)) return async () => {}
  if (!binary) throw new Error(`nothing answers at ${url}: run make demo in another terminal, or use --demo`)
  const child = spawn(binary, ['demo'], { stdio: ['ignore', 'ignore', 'inherit'] })
  let over = ''
  const ended = new Promise((resolve) => {
    child.once('error', (err) => { over = err.message; resolve() })
    child.once('exit', (code, signal) => { over ||= `it ended with ${signal ?? code}`; resolve() })
  })
  const stop = async () => {
    if (over) return
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), patience)
    await ended
    clearTimeout(timer)
  }
  for (const until = Date.now() + patience; !over && Date.now() < until;) {
    if (await serves(url)) return stop
    await sleep(100)
  }
  const why = over || `nothing serves at ${url} after ${patience / 1000} s`
  await stop()
  throw new Error(`${binary} demo: ${why}`)
}

module.exports = { start }
