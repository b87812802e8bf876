'use strict'
// Settings of serverless-python-requirements. The embedded cloud runs functions under the local interpreter, AWS under
// its own: there, wheels are fetched for that platform, whatever Python runs here.
const path = require('node:path')

const AWS_PIP_ARGS = [
  '--platform manylinux_2_28_x86_64',
  '--python-version 3.12',
  '--implementation cp',
  '--only-binary=:all:',
]

module.exports = async () => ({
  fileName: 'requirements/worker.txt',
  pythonBin: process.env.FSD_PYTHON || path.join('.venv', 'bin', 'python'),
  usePoetry: false,
  usePipenv: false,
  layer: true,
  slim: true,
  // Stripping breaks numpy's bundled OpenBLAS.
  strip: false,
  // Tests, stubs and the models of the hundreds of services that no function calls: most of the files to unzip at a cold start.
  slimPatterns: [
    '**/tests/**',
    '**/*.pyi',
    '**/boto3/examples/**',
    '**/botocore/data/!(lambda|logs|s3|sns|sqs|sts|cloudformation|endpoints.json|partitions.json|sdk-default-configuration.json|_retry.json)',
    '**/onnxruntime/{tools,transformers,quantization,datasets,backend}/**',
    '**/zstandard/_cffi*',
    'bin/**',
  ],
  cacheLocation: path.join('.fsd', 'build', 'cache'),
  pipCmdExtraArgs: process.env.FSD_TARGET === 'local' ? ['--no-deps'] : [...AWS_PIP_ARGS, '--no-deps'],
})
