'use strict'
// Which Python compiles the modules of the layers and of the functions' zip: one of the very version that will run them, or none.
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const PROGRAM = path.join(__dirname, 'bytecode.py')

function tagOf(python) {
  try {
    const options = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }
    return execFileSync(python, ['-c', 'import sys; print(sys.implementation.cache_tag)'], options).trim()
  } catch {
    return '' // not installed, or a launcher without that version
  }
}

// wanted: like cpython-312. Returns the interpreter's path, or undefined.
const compilerFor = (wanted, ...pythons) => pythons.find((python) => tagOf(python) === wanted)

function addBytecode(python, zips) {
  if (zips.length > 0) execFileSync(python, ['-I', PROGRAM, ...zips])
}

function compileFolder(python, folder) {
  const options = ['-q', '--invalidation-mode', 'unchecked-hash', '-s', folder]
  try {
    execFileSync(python, ['-I', '-m', 'compileall', ...options, folder], { stdio: 'ignore' })
  } catch {
    // Its exit code says that some file is no Python of this version: that one goes without.
  }
}

// What of the program decides on the layer's content.
const programText = () => fs.readFileSync(PROGRAM, 'utf8')

module.exports = { addBytecode, compileFolder, compilerFor, programText, tagOf }
