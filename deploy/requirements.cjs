'use strict'
// Settings of serverless-python-requirements. The embedded cloud runs functions under the local interpreter, AWS under
// its own: there, wheels are fetched for that platform, whatever Python runs here.
const { execFileSync } = require('node:child_process')
const crypto = require('node:crypto')
const path = require('node:path')
const refusal = require('./refusal.cjs')

// pip takes a platform by its exact name: a wheel tagged for an older glibc alone needs its own line.
const GLIBCS = ['manylinux_2_28', 'manylinux_2_27', 'manylinux_2_17', 'manylinux2014']
const MACHINES = { x86_64: 'x86_64', arm64: 'aarch64' }

// Tests, stubs and the models of the hundreds of services that no function calls: most of the files to unzip at a cold start.
const SLIM_PATTERNS = [
  '**/tests/**',
  '**/*.pyi',
  '**/boto3/examples/**',
  '**/botocore/data/!(lambda|logs|s3|sns|sqs|sts|cloudformation|endpoints.json|partitions.json|sdk-default-configuration.json|_retry.json)',
  '**/onnxruntime/{tools,transformers,quantization,datasets,backend}/**',
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

module.exports = async ({ resolveVariable }) => {
  const local = process.env.FSD_TARGET === 'local'
  const pythonBin = process.env.FSD_PYTHON || path.join('.venv', 'bin', 'python')
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
    cacheLocation: cacheFolder(local ? 'local' : 'aws', platform, SLIM_PATTERNS, local ? interpreterOf(pythonBin) : 'cp312'),
    pipCmdExtraArgs: [...platform, '--no-deps'],
  }
}
