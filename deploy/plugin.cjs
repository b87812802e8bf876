'use strict'
// What Serverless itself does not do: build the compiler's layer before packaging, empty the bucket before removal.
const { execFileSync } = require('node:child_process')
const crypto = require('node:crypto')
const fs = require('node:fs')
const { createRequire } = require('node:module')
const path = require('node:path')
const { addBytecode, compileFolder } = require('./bytecode.cjs')
const useKey = require('./keys.cjs')
const { dropUnfinished, lockBuild, markFinished, unfinished } = require('./cache.cjs')
const { emptyBucket } = require('./empty.cjs')
const { trimEndpoints } = require('./requirements.cjs')

// Test data and type stubs: two thirds of the compiler's packages.
const UNUSED = [/(^|\/)tests?(\/|$)/, /\.pyi$/, /(^|\/)__pycache__(\/|$)/, /^onnx\/backend\/test\//, /^bin\//, /\.(cc|h|cpp|proto)$/]

// Those of the stack that are ours to empty, by their logical ids.
const BUCKETS = ['Bucket', 'ExpressBucket']

function unusedFiles(root, folder = '') {
  return fs.readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = path.posix.join(folder, entry.name)
    if (UNUSED.some((pattern) => pattern.test(entry.isDirectory() ? `${name}/` : name))) return [name]
    return entry.isDirectory() ? unusedFiles(root, name) : []
  })
}

class FsdPlugin {
  constructor(serverless, options, { log, progress }) {
    this.serverless = serverless
    this.log = log
    this.progress = progress
    this.hooks = {
      'before:package:initialize': () => this.beginBuild(),
      'before:package:createDeploymentArtifacts': () => this.trimRuntimeLayer(),
      'after:package:createDeploymentArtifacts': () => this.endBuild(),
      'after:aws:package:finalize:mergeCustomProviderResources': () => this.encrypt(),
      'before:remove:remove': () => this.emptyBuckets(),
    }
  }

  get cache() {
    return path.join(this.serverless.serviceDir, this.serverless.service.custom.pythonRequirements.cacheLocation)
  }

  get bytecodePython() {
    return this.serverless.service.custom.pythonRequirements.bytecodePython
  }

  async beginBuild() {
    this.release = await lockBuild(this.cache)
    dropUnfinished(this.cache)
    await this.buildCompilerLayer()
  }

  // serverless-python-requirements has installed it by then, and zips it at `endBuild`: plugins' hooks of one name run in the
  // order of the plugins. Its link .serverless/requirements may not be there yet.
  trimRuntimeLayer() {
    const folders = fs.readdirSync(this.cache, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    for (const { name } of folders) trimEndpoints(path.join(this.cache, name))
  }

  endBuild() {
    this.compileModules()
    markFinished(this.cache)
    this.release()
  }

  // The compiler layer's are compiled when it is built.
  compileModules() {
    const python = this.bytecodePython
    if (python) addBytecode(python, [...unfinished(this.cache), this.serverless.service.package.artifact])
    else this.log.notice('No python3.12 here (on PATH, or FSD_PYTHON): packed without bytecode, cold starts take longer')
  }

  async buildCompilerLayer() {
    const { custom, layers } = this.serverless.service
    const { pythonBin, pipCmdExtraArgs } = custom.pythonRequirements
    const root = path.join(this.serverless.serviceDir, layers.compiler.path)
    const file = path.join(this.serverless.serviceDir, 'requirements', 'compiler.txt')
    const settings = JSON.stringify([fs.readFileSync(file, 'utf8'), pipCmdExtraArgs, UNUSED.map(String)])
    const stamp = crypto.createHash('sha256').update(settings).digest('hex')
    const stampFile = `${root}.stamp`
    if (fs.existsSync(stampFile) && fs.readFileSync(stampFile, 'utf8') === stamp) return
    const task = this.progress.create({ message: 'Installing the compiler layer' })
    fs.rmSync(stampFile, { force: true })
    fs.rmSync(root, { recursive: true, force: true })
    const target = path.join(root, 'python')
    const args = pipCmdExtraArgs.flatMap((arg) => arg.split(' '))
    execFileSync(pythonBin, ['-m', 'pip', 'install', '--quiet', '--target', target, ...args, '-r', file], {
      cwd: this.serverless.serviceDir,
    })
    for (const name of unusedFiles(target)) fs.rmSync(path.join(target, name), { recursive: true, force: true })
    if (this.bytecodePython) compileFolder(this.bytecodePython, target)
    fs.writeFileSync(stampFile, stamp)
    task.remove()
  }

  encrypt() {
    useKey(this.serverless.service.provider.compiledCloudFormationTemplate, this.serverless.service.custom.kmsKeyArn)
  }

  // CloudFormation refuses to delete a bucket that holds anything: versions and unfinished uploads count.
  async emptyBuckets() {
    const provider = this.serverless.getProvider('aws')
    const call = await awsCaller(provider)
    const s3 = (method, params) => call('S3', method, params)
    for (const Bucket of await bucketNames(call, provider.naming.getStackName())) {
      const deleted = await emptyBucket(s3, Bucket)
      this.log.info(`Emptied bucket ${Bucket}: ${deleted} objects and uploads`)
    }
  }
}

// Serverless v3 calls AWS for its plugins; osls 4 gives them settings for the AWS SDK that it has itself.
async function awsCaller(provider) {
  if (!provider.getAwsSdkV3Config) return (service, method, params) => provider.request(service, method, params)
  const ofOsls = createRequire(require.resolve('osls/package.json'))
  const { CloudFormation } = ofOsls('@aws-sdk/client-cloudformation')
  const { S3 } = ofOsls('@aws-sdk/client-s3')
  const config = await provider.getAwsSdkV3Config()
  const clients = { CloudFormation: new CloudFormation(config), S3: new S3(config) }
  return (service, method, params) => clients[service][method](params)
}

async function bucketNames(call, StackName) {
  const resources = await call('CloudFormation', 'describeStackResources', { StackName }).catch((error) => {
    if (/does not exist/.test(error.message)) return { StackResources: [] }
    throw error
  })
  // A removal that failed half-way may have deleted a bucket already.
  const found = resources.StackResources.filter(({ ResourceStatus }) => ResourceStatus !== 'DELETE_COMPLETE')
  return found.filter(({ LogicalResourceId }) => BUCKETS.includes(LogicalResourceId)).map((one) => one.PhysicalResourceId)
}

module.exports = FsdPlugin
