'use strict'
// Settings of serverless-python-requirements. The embedded cloud runs functions under the local interpreter, AWS under
// its own: there, wheels are fetched for that platform, whatever Python runs here.
const { execFileSync } = require('node:child_process')
const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { compilerFor, programText, tagOf } = require('./bytecode.cjs')
const refusal = require('./refusal.cjs')

// pip takes a platform by its exact name: a wheel tagged for an older glibc alone needs its own line.
const GLIBCS = ['manylinux_2_28', 'manylinux_2_27', 'manylinux_2_17', 'manylinux2014']
const MACHINES = { x86_64: 'x86_64', arm64: 'aarch64' }

// What the functions call; `fsd` has botocore whole.
const SERVICES = ['lambda', 'logs', 's3', 'sns', 'sqs', 'sts', 'cloudformation']
const BOTOCORE_DATA = [...SERVICES, 'endpoints.json', 'partitions.json', 'sdk-default-configuration.json', '_retry.json']

// Tests, stubs and the models of the hundreds of services that no function calls: most of the files to unzip at a cold start.
const SLIM_PATTERNS = [
  '**/tests/**',
  '**/*.pyi',
  '**/boto3/examples/**',
  `**/botocore/data/!(${BOTOCORE_DATA.join('|')})`,
  '**/onnxruntime/{tools,transformers,quantization,datasets,backend}/**',
  '**/numpy/{distutils,f2py}/**',
  // For programs in C: Python's module has all of it in itself.
  '**/onnxruntime/capi/libonnxruntime.so*',
  '**/zstandard/_cffi*',
  'bin/**',
]

function awsArguments(architecture) {
  const machine = MACHINES[architecture]
  if (!machine) throw refusal(`--param architecture: expected x86_64 or arm64, got ${architecture}`)
  const platforms = GLIBCS.map((glibc) => `--platform ${glibc}_${machine}`)
  return [...platforms, '--python-version 3.12', '--implementation cp', '--only-binary=:all:']
}

function interpreterOf(pythonBin) {
  const program = 'import sysconfig; print(sysconfig.get_config_var("SOABI"))'
  return execFileSync(pythonBin, ['-c', program], { encoding: 'utf8' }).trim()
}

// serverless-python-requirements finds its cached packages by the requirements' names and versions alone: what was
// installed for another platform, interpreter or selection of files must lie elsewhere.
function cacheFolder(target, ...settings) {
  const key = crypto.createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 12)
  return path.join('.fsd', 'build', `${target}-${key}`)
}

// The first client of every cold start reads the endpoints of all services: 1.2 MB of JSON, of which these take 45 KB.
function trimEndpoints(folder) {
  const file = path.join(folder, 'botocore', 'data', 'endpoints.json')
  if (!fs.existsSync(file)) return
  const endpoints = JSON.parse(fs.readFileSync(file, 'utf8'))
  for (const partition of endpoints.partitions) {
    const wanted = Object.entries(partition.services).filter(([name]) => SERVICES.includes(name))
    partition.services = Object.fromEntries(wanted)
  }
  fs.writeFileSync(file, JSON.stringify(endpoints))
}

module.exports = async ({ resolveVariable }) => {
  const local = process.env.FSD_TARGET === 'local'
  const pythonBin = process.env.FSD_PYTHON || path.join('.venv', 'bin', 'python')
  const bytecodePython = local ? pythonBin : compilerFor('cpython-312', pythonBin, 'python3.12')
  const bytecode = bytecodePython ? [tagOf(bytecodePython), programText()] : []
  const platform = local ? [] : awsArguments(await resolveVariable('param:architecture'))
  return {
    fileName: 'requirements/worker.txt',
    pythonBin,
    usePoetry: false,
    usePipenv: false,
    layer: true,
    slim: true,
    // Stripping breaks numpy's bundled OpenBLAS.
    strip: false,
    slimPatterns: SLIM_PATTERNS,
    // pip's own cache serves: it has most of the wheels since the set-up.
    useDownloadCache: false,
    cacheLocation: cacheFolder(local ? 'local' : 'aws', platform, SLIM_PATTERNS, bytecode, local ? interpreterOf(pythonBin) : 'cp312'),
    pipCmdExtraArgs: [...platform, '--no-deps'],
    // For deploy/plugin.cjs: what compiles the modules that are packed.
    bytecodePython,
  }
}
module.exports.trimEndpoints = trimEndpoints
