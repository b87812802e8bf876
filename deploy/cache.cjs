'use strict'
// serverless-python-requirements writes the zip that it caches in place: an `sls` beside it, or the next one after Ctrl-C,
// would take half a zip for a whole one. So one build at a time, and only a zip that a build has finished is kept.
const fs = require('node:fs')
const path = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')

const WAIT_MS = 100

function isRunning(pid) {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function take(file) {
  try {
    fs.writeFileSync(file, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
    return false
  }
}

function holder(file) {
  try {
    return Number(fs.readFileSync(file, 'utf8'))
  } catch {
    return 0 // released a moment ago
  }
}

// Waits until no other living process builds in `folder`; returns what releases it, as the end of this process does.
async function lockBuild(folder) {
  const file = path.join(folder, 'lock')
  fs.mkdirSync(folder, { recursive: true })
  while (!take(file)) {
    const pid = holder(file)
    if (pid && !isRunning(pid)) fs.rmSync(file, { force: true })
    else await sleep(WAIT_MS)
  }
  const release = () => {
    if (holder(file) === process.pid) fs.rmSync(file, { force: true })
  }
  process.once('exit', release)
  return release
}

const zips = (folder) => fs.readdirSync(folder).filter((name) => name.endsWith('.zip'))
const finished = (folder, name) => path.join(folder, `${name}.finished`)

function unfinished(folder) {
  return zips(folder)
    .filter((name) => !fs.existsSync(finished(folder, name)))
    .map((name) => path.join(folder, name))
}

function dropUnfinished(folder) {
  for (const file of unfinished(folder)) fs.rmSync(file)
}

function markFinished(folder) {
  for (const name of zips(folder)) fs.writeFileSync(finished(folder, name), '')
}

module.exports = { lockBuild, dropUnfinished, markFinished, unfinished }
