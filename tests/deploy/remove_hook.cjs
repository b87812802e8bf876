'use strict'
// Runs the plugin's hook before `sls remove`, loaded as Serverless loads it, with a provider like osls' for the account
// behind AWS_ENDPOINT_URL. Arguments: the plugin's file, the stack's name.
const Plugin = require(process.argv[2])

const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
const provider = {
  naming: { getStackName: () => process.argv[3] },
  getAwsSdkV3Config: async () => ({ region: 'us-east-1', credentials }),
}
const plugin = new Plugin({ getProvider: () => provider }, {}, { log: { info: console.log }, progress: {} })
plugin.hooks['before:remove:remove']().catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
