'use strict'
// A key of the user's own (--param kmsKeyArn=...) for whatever keeps data: buckets, queues, topics; and for whoever reads it.
// Works on the finished template, so that nothing that is added later is forgotten.

const refusal = require('./refusal.cjs')

const ARN = /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/[A-Za-z0-9-]+$/
// Holds code and templates, and belongs to who deploys.
const DEPLOYMENT_BUCKET = 'ServerlessDeploymentBucket'

function encryptBucket(properties, key) {
  properties.BucketEncryption = {
    ServerSideEncryptionConfiguration: [
      // A bucket key: one request to KMS for many objects.
      { ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: key }, BucketKeyEnabled: true },
    ],
  }
}

const ENCRYPT = {
  'AWS::S3::Bucket': encryptBucket,
  'AWS::S3Express::DirectoryBucket': encryptBucket,
  'AWS::SQS::Queue': (properties, key) => {
    delete properties.SqsManagedSseEnabled
    // Seconds that SQS uses a data key for; its longest, as each renewal is a billed request.
    Object.assign(properties, { KmsMasterKeyId: key, KmsDataKeyReusePeriodSeconds: 86400 })
  },
  'AWS::SNS::Topic': (properties, key) => {
    properties.KmsMasterKeyId = key
  },
  'AWS::IAM::Role': (properties, key) => {
    const use = { Effect: 'Allow', Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: [key] }
    properties.Policies[0].PolicyDocument.Statement.push(use)
  },
}

function useKey(template, key) {
  if (!key) return
  if (!ARN.test(key)) throw refusal(`--param kmsKeyArn: expected the ARN of a KMS key, got ${key}`)
  for (const [name, resource] of Object.entries(template.Resources)) {
    const encrypt = name === DEPLOYMENT_BUCKET ? undefined : ENCRYPT[resource.Type]
    if (encrypt) encrypt(resource.Properties, key)
  }
}

module.exports = useKey
